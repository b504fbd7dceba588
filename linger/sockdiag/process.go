package sockdiag

import "fmt"

// Process is a process that has a socket open.
type Process struct {
	PID    int
	Name   string // as in /proc/PID/comm, at most 15 bytes; empty where it cannot be read
	FD     int    // the lowest descriptor of the socket
	Socket Socket
}

// String is "nginx (pid 123)".
func (p Process) String() string {
	if p.Name == "" {
		return fmt.Sprintf("pid %d", p.PID)
	}
	return fmt.Sprintf("%s (pid %d)", p.Name, p.PID)
}
