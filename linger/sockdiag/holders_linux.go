//go:build linux

package sockdiag

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holders returns the processes that hold port through a socket which listens on it, or which is bound to it and not
// connected, in the order of their numbers; one with two such sockets is listed twice. complete is false when there
// may be more: a process whose descriptors may not be read (of another user, without CAP_SYS_PTRACE) is left
// out, and so is one in another PID namespace. The error is Port's, or says that /proc cannot be read.
//
// It reads the descriptors of every process of the host: it is meant for the text of an error, not for a hot path.
// Any goroutine may call it.
func Holders(port uint16) (holders []Process, complete bool, err error) {
	d, err := Port(port)
	if err != nil {
		return nil, false, err
	}
	d.Sockets = slices.DeleteFunc(d.Sockets, func(s Socket) bool { return !s.HoldsPort() })
	return d.Holders()
}

// Holders returns the processes that have sockets of the dump open, whatever their state, in the order of their numbers: one
// Process for each socket that it has. complete is as that of the function Holders. Of the TCP sockets below one MPTCP
// socket, which share its Inode, each holder names one. The error says that /proc cannot be read.
func (d Dump) Holders() (holders []Process, complete bool, err error) {
	sockets := make(map[string]Socket) // by what readlink(2) says
	for _, s := range d.Sockets {
		if s.Inode != 0 {
			sockets["socket:["+strconv.FormatUint(uint64(s.Inode), 10)+"]"] = s
		}
	}
	if len(sockets) == 0 {
		return nil, true, nil
	}
	return scan("/proc", sockets)
}

// scan looks for sockets in the descriptors of every process in root.
func scan(root string, sockets map[string]Socket) (holders []Process, complete bool, err error) {
	processes, err := readNames(root)
	if err != nil {
		return nil, false, fmt.Errorf("sockdiag: %w", err)
	}
	complete = true
	found := make(map[string]bool)
	for _, name := range processes {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // /proc/net, /proc/self and so on
		}
		dir := filepath.Join(root, name)
		fds, err := descriptors(filepath.Join(dir, "fd"), sockets)
		if err != nil && !gone(err) {
			complete = false
		}
		if len(fds) == 0 {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		for link, fd := range fds {
			found[link] = true
			holders = append(holders, Process{PID: pid, Name: strings.TrimSuffix(string(comm), "\n"), FD: fd, Socket: sockets[link]})
		}
	}
	slices.SortFunc(holders, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.FD, b.FD))
	})
	return holders, complete && len(found) == len(sockets), nil
}

// StillHolds reports whether the process has Socket open under FD still. It may be asked after the process was made sure of by
// other means (pidfd_open(2)), since a number can go to another process.
func (p Process) StillHolds() bool {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.PID, p.FD))
	return err == nil && target == fmt.Sprintf("socket:[%d]", p.Socket.Inode)
}

// gone reports whether err means that the process or the descriptor ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// descriptors returns the lowest descriptor of each of sockets that is in dir, a /proc/PID/fd.
func descriptors(dir string, sockets map[string]Socket) (map[string]int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fds := make(map[string]int)
	var failure error
	err = raw.Control(func(dirfd uintptr) {
		var buf [64]byte // longer than any socket:[inode]; other targets may be cut off
		for _, name := range names {
			n, err := unix.Readlinkat(int(dirfd), name, buf[:])
			if err != nil {
				if !gone(err) {
					failure = os.NewSyscallError("readlinkat", err)
				}
				continue
			}
			if _, ok := sockets[string(buf[:n])]; !ok {
				continue
			}
			fd, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			link := string(buf[:n])
			if lowest, ok := fds[link]; !ok || fd < lowest {
				fds[link] = fd
			}
		}
	})
	return fds, cmp.Or(err, failure)
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}
