//go:build linux

package sockdiag

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is what another network namespace has on a port.
type Namespace struct {
	// PID is a process in it, by which nsenter(1) finds it: one of Holders if there are any.
	PID  int
	Name string // of that process, as Process.Name
	// Sockets are those on the port, as /proc tells them.
	Sockets []Socket
	// Holders are the processes that hold the port there, as Holders returns them; not those that may not be looked into.
	Holders []Process
}

// Elsewhere looks for port in the network namespaces of other processes than the calling thread's, where no netlink socket of
// this one reaches: a container's, for one. It needs no privilege, but does not see processes that /proc hides (hidepid,
// another PID namespace), and no namespace without a process. The order is that of PID. The error says that /proc cannot be
// read.
//
// It reads a table for each namespace and looks at every process: it is meant for somebody who wonders, not for a hot path.
// Any goroutine may call it.
func Elsewhere(port uint16) ([]Namespace, error) { return elsewhere("/proc", port) }

func elsewhere(root string, port uint16) ([]Namespace, error) {
	processes, err := readNames(root)
	if err != nil {
		return nil, fmt.Errorf("sockdiag: %w", err)
	}
	own, err := tableID(filepath.Join(root, "thread-self"))
	if err != nil {
		return nil, fmt.Errorf("sockdiag: %w", err)
	}
	first := make(map[uint64]int) // the process with the lowest number, by namespace
	members := make(map[int]uint64)
	for _, name := range processes {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		id, err := tableID(filepath.Join(root, name))
		if err != nil || id == own {
			continue
		}
		members[pid] = id
		if lowest, ok := first[id]; !ok || pid < lowest {
			first[id] = pid
		}
	}
	var found []Namespace
	for id, pid := range first {
		ns := Namespace{PID: pid}
		for _, table := range [...]string{"tcp", "tcp6"} {
			ns.read(filepath.Join(root, strconv.Itoa(pid), "net", table), port)
		}
		if len(ns.Sockets) == 0 {
			continue
		}
		d := Dump{Sockets: slices.DeleteFunc(slices.Clone(ns.Sockets), func(s Socket) bool { return !s.HoldsPort() })}
		ns.Holders, _, _ = d.Holders()
		// A process elsewhere can have the socket too, but it leads nowhere.
		if i := slices.IndexFunc(ns.Holders, func(p Process) bool { return members[p.PID] == id }); i >= 0 {
			ns.PID = ns.Holders[i].PID
		}
		comm, _ := os.ReadFile(filepath.Join(root, strconv.Itoa(ns.PID), "comm"))
		ns.Name = strings.TrimSuffix(string(comm), "\n")
		found = append(found, ns)
	}
	slices.SortFunc(found, func(a, b Namespace) int { return cmp.Compare(a.PID, b.PID) })
	return found, nil
}

// tableID identifies the network namespace of the process or thread with the directory dir: the inode of its net/tcp, which
// is a file of the namespace. ns/net says the same, but only to those who may trace the process.
func tableID(dir string) (uint64, error) {
	var st unix.Stat_t
	path := filepath.Join(dir, "net", "tcp")
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// read adds the sockets of port in a table. The process may have ended meanwhile, and the namespace may have no IPv6.
func (ns *Namespace) read(table string, port uint16) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = parseProc(f, ports{port}, func(s *Socket) bool {
		ns.Sockets = append(ns.Sockets, *s)
		return true
	})
}
