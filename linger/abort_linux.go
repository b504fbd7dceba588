//go:build linux

package linger

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Arm turns the next close(2) of fd into an abort: RST, unsent and unacknowledged bytes lost (SO_LINGER with a timeout of
// zero; socket(7) does not describe that case, tcp_close of the kernel does). On a listening socket it arms every
// connection that is established from then on; those that wait in its queue already stay as they are, whatever is done to
// the listener. It does not help while another descriptor (dup, fork) refers to the same socket: the last close decides. A
// failure is an [*os.SyscallError] and leaves fd as it was. Only the owner of fd may call it.
func Arm(fd int) error {
	return setLinger(fd, unix.Linger{Onoff: 1, Linger: 0})
}

// Disarm undoes [Arm]: the next close(2) of fd sends what is still queued and ends with FIN. It resets all the same when
// received bytes are still unread at that moment (RFC 1122, section 4.2.2.13). A failure is an [*os.SyscallError] and
// leaves fd as it was. Only the owner of fd may call it.
func Disarm(fd int) error {
	return setLinger(fd, unix.Linger{})
}

// Armed reports whether the next close(2) of fd would abort. A failure is an [*os.SyscallError]. Only the owner of fd may call it.
func Armed(fd int) (bool, error) {
	l, err := getLinger(fd)
	return l.Onoff != 0 && l.Linger == 0, err
}

// Abort resets the TCP connection of fd at once and leaves the descriptor open: connect(2) with AF_UNSPEC, which runs the
// same code of the kernel as a close of an armed descriptor. The peer reads ECONNRESET, the local port is given up, no
// TIME_WAIT is made, and it works while duplicates of fd exist. The descriptor still has to be closed by its owner. A
// second Abort changes nothing.
//
// What it cannot do: a peer that had our FIN before sees a clean end, and a TIME_WAIT that exists already stays. A socket
// that bind(2) gave a port by number (a listener, never an accepted connection) keeps the port until its close. And the
// peer of an MPTCP connection whose window is closed may learn nothing, for Linux then resets the TCP connection below only.
//
// When the kernel refuses, Abort arms fd, so that its owner's close aborts, and returns an error that wraps the refusal, an
// [*os.SyscallError]. Whoever calls it has to be sure that fd is not closed meanwhile: the owner is, others use [Table].
func Abort(fd int) error {
	// golang.org/x/sys/unix has no address of family AF_UNSPEC (0). A socket that another thread works on makes the kernel
	// wait for its lock, microseconds at most, so the call need not be announced to Go's scheduler.
	var unspec [16]byte
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
	if errno == 0 {
		return nil
	}
	return errors.Join(os.NewSyscallError("connect AF_UNSPEC", errno), Arm(fd))
}

// Cookie returns the number by which the kernel identifies the socket of fd for as long as the machine runs, and under
// which sockdiag lists it (SO_COOKIE, socket(7)). It stays the socket's through FIN_WAIT and TIME_WAIT, when no descriptor
// is left. A failure is an [*os.SyscallError].
func Cookie(fd int) (uint64, error) {
	v, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	return v, os.NewSyscallError("getsockopt SO_COOKIE", err)
}

// Inode returns the number of the socket of fd (fstat(2)), under which /proc/PID/fd shows it, and sockdiag lists it, for as long as a
// descriptor is open: that of an MPTCP socket too. A failure is an [*os.SyscallError].
func Inode(fd int) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return uint32(st.Ino), os.NewSyscallError("fstat", err)
}

func setLinger(fd int, l unix.Linger) error {
	return os.NewSyscallError("setsockopt SO_LINGER", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}

func getLinger(fd int) (unix.Linger, error) {
	var l unix.Linger
	size := uint32(unsafe.Sizeof(l))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return l, os.NewSyscallError("getsockopt SO_LINGER", errno)
	}
	return l, nil
}
