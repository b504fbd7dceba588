package freeport

// Circumstance is what there is to know about a process that holds the port, for whoever has to get rid of it.
type Circumstance struct {
	// Stopped: by a signal (Ctrl-Z, SIGSTOP) or a debugger. It takes SIGTERM once it goes on (SIGCONT).
	Stopped bool `json:"stopped,omitempty"`
	// IgnoresTERM: SIGTERM does nothing to it.
	IgnoresTERM bool `json:"ignores_sigterm,omitempty"`
	// NotPermitted: the caller may send it no signal.
	NotPermitted bool `json:"not_permitted,omitempty"`
	// Parent has started it, or has inherited it.
	Parent Process `json:"parent,omitzero"`
	// Unit is the service of systemd that it is part of, such as nginx.service. UserUnit: it is one of a user's manager.
	Unit     string `json:"unit,omitempty"`
	UserUnit bool   `json:"user_unit,omitempty"`
	// Container is that which it runs in, by its ID, and Runtime the program that ends it: docker, podman, crictl or lxc.
	Container string `json:"container,omitempty"`
	Runtime   string `json:"runtime,omitempty"`
	// OtherPIDNamespace: it runs in another PID namespace, as those of containers do.
	OtherPIDNamespace bool `json:"other_pid_namespace,omitempty"`
	// Forwards: it is the process by which Docker forwards a port to a container.
	Forwards bool `json:"forwards,omitempty"`
}

// Hiding says why no process is found that holds the port.
type Hiding struct {
	// Rights: the caller may not look into all processes.
	Rights bool `json:"rights,omitempty"`
	// Outside: the caller is in a PID namespace, and those outside of it cannot be seen.
	Outside bool `json:"outside,omitempty"`
	// InTransit are processes that a descriptor was sent to which they have not received (SCM_RIGHTS, unix(7)).
	InTransit []Process `json:"in_transit,omitempty"`
}
