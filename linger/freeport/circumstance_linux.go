//go:build linux

package freeport

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// circumstanceOf reads what /proc says of the process, which may have ended: then it is little.
func circumstanceOf(pid int) Circumstance {
	var c Circumstance
	status := readStatus(pid)
	c.Stopped = strings.HasPrefix(status["State"], "T") || strings.HasPrefix(status["State"], "t")
	const term = 1 << (unix.SIGTERM - 1)
	ignored, caught := signals(status["SigIgn"]), signals(status["SigCgt"])
	c.IgnoresTERM = ignored&term != 0
	if inside := strings.Fields(status["NSpid"]); len(inside) > 1 {
		c.OtherPIDNamespace = true
		// The first process of a namespace gets what it has a handler for, and SIGKILL and SIGSTOP from outside (pid_namespaces(7)).
		c.IgnoresTERM = c.IgnoresTERM || inside[len(inside)-1] == "1" && caught&term == 0
	}
	c.Parent.PID, _ = strconv.Atoi(status["PPid"])
	if c.Parent.PID != 0 {
		c.Parent.Name = readStatus(c.Parent.PID)["Name"]
	}
	cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	own, _ := os.ReadFile("/proc/self/cgroup")
	if string(cgroup) != string(own) { // or it is the shell's, from which both were started
		c.Unit, c.UserUnit, c.Container, c.Runtime = ownerOf(string(cgroup))
	}
	c.NotPermitted = unix.Kill(pid, 0) == unix.EPERM
	c.Forwards = status["Name"] == "docker-proxy"
	return c
}

// readStatus is /proc/PID/status (proc_pid_status(5)), empty where there is no such process.
func readStatus(pid int) map[string]string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	status := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.TrimSpace(value)
	}
	return status
}

// signals is a set of signals of /proc/PID/status.
func signals(mask string) uint64 {
	set, _ := strconv.ParseUint(mask, 16, 64)
	return set
}

var (
	container = regexp.MustCompile(`(?:/docker[/-]|libpod-|cri-containerd-|crio-|/lxc[./])([0-9a-zA-Z_-]+?)(?:\.scope)?(?:/|$)`)
	unit      = regexp.MustCompile(`/([^/]+\.service)(?:/|$)`)
	runtimes  = []struct{ mark, name string }{{"docker", "docker"}, {"libpod", "podman"}, {"cri", "crictl"}, {"lxc", "lxc"}}
)

// ownerOf reads from a /proc/PID/cgroup who has started the process: the container, or else the unit of systemd.
func ownerOf(cgroup string) (service string, user bool, id, runtime string) {
	for line := range strings.Lines(cgroup) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), ":")
		if m := container.FindStringSubmatch(path); m != nil {
			for _, r := range runtimes {
				if strings.Contains(m[0], r.mark) {
					return "", false, m[1], r.name
				}
			}
		}
		units := unit.FindAllStringSubmatch(path, -1)
		if len(units) == 0 {
			continue
		}
		service = units[len(units)-1][1]
		switch user = strings.HasPrefix(units[0][1], "user@"); {
		case user && len(units) == 1: // no unit of the user's, but a session
			service, user = "", false
		default:
			return service, user, "", ""
		}
	}
	return "", false, "", ""
}

// hiddenBy says why no process is found that has a socket open which holds the port.
func hiddenBy() Hiding {
	if f, err := os.Open("/proc/1/fd"); err == nil {
		f.Close()
	} else {
		return Hiding{Rights: true}
	}
	var h Hiding
	const initial = 0xEFFFFFFC // PROC_PID_INIT_INO
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err == nil && st.Ino != initial {
		h.Outside = true
	}
	h.InTransit = awaiting()
	return h
}

// awaiting are processes with a unix socket that descriptors wait in to be received (SCM_RIGHTS, unix(7)); Linux says so since 5.6.
func awaiting() []Process {
	infos, _ := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	var waiting []Process
	for _, name := range infos {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, after, found := strings.Cut(string(b), "\nscm_fds:")
		count, _, _ := strings.Cut(after, "\n")
		if n, _ := strconv.Atoi(strings.TrimSpace(count)); !found || n == 0 {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		if len(waiting) == 0 || waiting[len(waiting)-1].PID != pid {
			waiting = append(waiting, Process{pid, readStatus(pid)["Name"]})
		}
	}
	// Those that share this PID namespace are the likelier ones.
	near := slices.DeleteFunc(slices.Clone(waiting), func(p Process) bool { return len(strings.Fields(readStatus(p.PID)["NSpid"])) > 1 })
	if len(near) > 0 {
		return near
	}
	return waiting
}
