//go:build linux

package sockdiag

import (
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// receiveBytes is the largest datagram that the kernel makes for a dump, and it makes them that large only for
	// those who read into this much. With the page that many programs offer a dump takes twice the time.
	receiveBytes = 32 << 10

	// receiveTimeout bounds the wait for one datagram. The kernel fills it inside recvmsg(2) and never makes us
	// wait, so this is for sandboxes that accept the question and do not answer. The number is a guess.
	receiveTimeout = 5 * time.Second
)

// channel is a socket over which the kernel is asked. One goroutine uses it.
//
// What is received is read here and not by netlink.Conn, which copies each datagram to memory of its own (40 % of the time
// of a large dump) and reads a dump to its end when the caller has seen enough.
type channel struct {
	conn *netlink.Conn
	raw  syscall.RawConn
	buf  []byte
}

func dial() (*channel, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &channel{conn, raw, make([]byte, receiveBytes)}, nil
}

func (ch *channel) close() { _ = ch.conn.Close() }

// receive hands each datagram of the kernel's to f, until f reports that it was the last or fails. The datagram is f's for
// the length of one call.
func (ch *channel) receive(f func(datagram []byte) (last bool, err error)) error {
	for {
		if err := ch.conn.SetReadDeadline(time.Now().Add(receiveTimeout)); err != nil {
			return err
		}
		var (
			n, flags int
			from     unix.Sockaddr
			errno    error
		)
		err := ch.raw.Read(func(fd uintptr) bool {
			for {
				n, _, flags, from, errno = unix.Recvmsg(int(fd), ch.buf, nil, 0)
				if errno != unix.EINTR {
					return errno != unix.EAGAIN
				}
			}
		})
		if err == nil {
			err = os.NewSyscallError("recvmsg", errno)
		}
		if err != nil {
			return err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return errTruncated
		}
		// Only the kernel has port number 0; a process that may send here is not the one we asked.
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		if last, err := f(ch.buf[:n]); last || err != nil {
			return err
		}
	}
}
