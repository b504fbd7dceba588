package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/internal/layout"
	"rstserver/internal/prose"
	"rstserver/linger/freeport"
)

// advice is why somebody holds on to a port, and what ends that, to paste. Without a command there is nothing to be done from here.
type advice struct{ why, command string }

func (a advice) write(b *layout.Text) {
	if a.why == "" {
		return
	}
	if a.command != "" {
		a.why += ":"
	}
	b.Wrap("    ", "    ", a.why)
	if a.command != "" {
		b.Line("      " + a.command)
	}
}

// again is this very command, with other flags behind what it is about.
func (r *freeReport) again(flags string) string {
	command := fmt.Sprintf("%s free %d", self, r.Port)
	var local []string
	for _, n := range r.plan.Select.Local {
		local = append(local, strings.TrimSuffix(strings.TrimSuffix(n.String(), "/32"), "/128"))
	}
	if len(local) > 0 {
		command += " --local " + strings.Join(local, ",")
	}
	if flags != "" {
		command += " " + flags
	}
	return command
}

// adviceOn is about a process that holds the port in the end. What is more certain to help comes first.
func (r *freeReport) adviceOn(h freeport.Holder) advice {
	const kill = "--stop-owner --signal KILL"
	switch signalled := r.signalled(h.PID); {
	case h.PID == 1:
		return advice{"systemd listens for the service that it is to start, and is never stopped by this; the socket's unit is one of these, to be ended by " +
			"systemctl stop NAME.socket", "systemctl list-sockets"}
	case h.PID == os.Getpid():
		return advice{"it is this very program, which was handed the socket when it was started", ""}
	case h.Forwards:
		return advice{"it forwards the port to a container, which is one of these, to be ended by docker stop NAME", fmt.Sprintf("docker ps --filter publish=%d", r.Port)}
	case h.Container != "":
		return advice{"it runs in a container", stopContainer(h.Runtime, h.Container)}
	case h.NotPermitted:
		return advice{"it is another user's, and root may stop it", "sudo " + r.again("--stop-owner")}
	case h.Stopped:
		return advice{"it is stopped, as by Ctrl-Z, and takes no signal but SIGKILL before it goes on", fmt.Sprintf("kill -CONT %d", h.PID)}
	case h.IgnoresTERM && r.signal() == unix.SIGTERM:
		return advice{"it ignores SIGTERM; what nothing can ignore is", r.again(kill)}
	case r.respawns(h):
		return advice{fmt.Sprintf("%s, its parent, has started it in place of the one that let go; so stop that", prose.Printable(h.Parent.String())),
			fmt.Sprintf("kill %d", h.Parent.PID)}
	case h.Unit != "":
		return advice{"it is " + prose.Printable(h.Unit) + ", which systemd starts again if it is told to; so have systemd stop it", stopUnit(h.Circumstance)}
	case signalled && r.signal() != unix.SIGKILL:
		return advice{fmt.Sprintf("it had %s and has not let go of the port; what nothing can ignore is", unix.SignalName(r.signal())), r.again(kill)}
	case !r.plan.StopOwner:
		return advice{"such a socket is never destroyed, as its process would keep the port all the same; SIGTERM is sent to the process by", r.again("--stop-owner")}
	}
	return advice{}
}

func stopContainer(runtime, id string) string {
	const short = 12 // as the programs themselves print it
	switch {
	case runtime == "lxc":
		return "lxc-stop -n " + prose.Printable(id)
	case len(id) > short:
		id = id[:short]
	}
	return runtime + " stop " + prose.Printable(id)
}

func stopUnit(c freeport.Circumstance) string {
	command := "systemctl "
	if c.UserUnit {
		command += "--user "
	}
	return command + "stop " + prose.Printable(c.Unit)
}

// signal is what --stop-owner sends.
func (r *freeReport) signal() syscall.Signal {
	if r.plan.Signal == 0 {
		return unix.SIGTERM
	}
	return r.plan.Signal
}

// signalled reports whether the process was sent that.
func (r *freeReport) signalled(pid int) bool {
	if r.Done == nil {
		return false
	}
	for _, s := range r.Done.Stopped {
		if s.PID == pid && s.Signalled {
			return true
		}
	}
	return false
}

// respawns reports whether the process has the same parent as one that has let go, so that this one would be followed too.
func (r *freeReport) respawns(h freeport.Holder) bool {
	if r.Done == nil || h.Parent.PID <= 1 || h.Unit != "" {
		return false
	}
	for _, s := range r.Done.Stopped {
		if s.Signalled && s.PID != h.PID && s.Parent.PID == h.Parent.PID {
			return true
		}
	}
	return false
}

// adviceOnHidden is about sockets of processes that are not found.
func (r *freeReport) adviceOnHidden(h freeport.Hiding) advice {
	switch {
	case h.Rights && os.Geteuid() != 0:
		return advice{"it is another user's, whom root can see", "sudo " + r.again("")}
	case h.Rights:
		return advice{"not all processes may be looked into here, as root of a user namespace or without CAP_SYS_PTRACE; as root of the machine", r.again("")}
	case len(h.InTransit) > 0:
		const where = "nobody has it open, so it may be in transit, sent over a unix socket and not received. "
		if len(h.InTransit) > 1 {
			return advice{where + "Something of that kind waits for each of these, and the end of the right one ends it", "ps -fp " + strings.Join(pids(h.InTransit), ",")}
		}
		return advice{where + "Something of that kind waits for " + processNames(h.InTransit) + ", and ends with it", "kill " + pids(h.InTransit)[0]}
	case h.Outside:
		return advice{"it is outside of this container, or PID namespace; on the machine itself", r.again("")}
	}
	return advice{"no process has the socket open: the kernel itself does (such as an NFS server), or io_uring; what it says of it is", fmt.Sprintf("ss -tlnpe 'sport = :%d'", r.Port)}
}

func pids(processes []freeport.Process) (list []string) {
	for _, p := range processes {
		list = append(list, strconv.Itoa(p.PID))
	}
	return list
}
