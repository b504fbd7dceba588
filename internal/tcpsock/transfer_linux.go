//go:build linux

package tcpsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Recv is recv(2), and Send send(2), of a connection. Neither waits, whatever is set on the file, which others may share; where they would, the error is
// unix.EAGAIN. Errors are bare, and n is 0 then. To a client that is gone Send fails with unix.EPIPE, and there is no signal.
//
// Go's scheduler does not learn of these calls. It expects that calls may last: for as long as there are some it looks every 20 µs for those that do,
// to give their processors to others, and wakes others for that. These take some microseconds, and to servers that make little else that
// was a quarter of their processor time.
func Recv(fd int, p []byte) (n int, err error) {
	return transfer(unix.SYS_RECVFROM, fd, p, unix.MSG_DONTWAIT)
}

// Send is described at Recv.
func Send(fd int, p []byte) (n int, err error) {
	return transfer(unix.SYS_SENDTO, fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

func transfer(call uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
