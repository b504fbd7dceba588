//go:build linux

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"

	"golang.org/x/sys/unix"
)

// client is one connection of a Fleet.
type client struct {
	fd     int            // -1 once closed
	own    netip.AddrPort // that it connects from
	kind   kinds.Kind
	script *script
	step   int    // of script.steps, the one that is under way
	ready  bool   // all steps are done
	got    []byte // of what is awaited
	last   bool   // the answer came whole, and said that it is the connection's last
	ending Ending
	err    error
	at     time.Duration // of kernel.Now, when it was told
	code   int           // of the close frame of a WebSocket that the server has sent; 0: none has come
	tls    *secured      // nil: it is plain TCP
	h2     *h2           // nil: it speaks no HTTP/2
	spoke  time.Duration // of kernel.Now, when it was sent something that was to be sent nothing
}

// dial connects from the address that is the fleet's number from, and leaves the descriptor in c, also when it fails.
func (c *client) dial(ctx context.Context, until deadline, addr netip.AddrPort, from int) (err error) {
	if c.fd, err = kernel.Socket(addr, kernel.ClientSource(from)); err != nil {
		return err
	}
	if c.script.leaves {
		// Small, so that the server's send buffer stays small too: the kernel's memory for them is finite.
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := c.connect(ctx, until, addr); err != nil {
		return err
	}
	own, err := unix.Getsockname(c.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	c.own = kernel.AddrPort(own)
	return nil
}

// connect returns when the server's kernel has taken the connection, which it does at once as long as there is room in the
// accept queue.
func (c *client) connect(ctx context.Context, until deadline, addr netip.AddrPort) error {
	err := unix.Connect(c.fd, kernel.Sockaddr(addr))
	for err == unix.EINPROGRESS || err == unix.EINTR {
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}
		n, pollErr := unix.Poll(fds, 100)
		switch {
		case pollErr != nil && pollErr != unix.EINTR:
			return os.NewSyscallError("poll", pollErr)
		case n > 0:
			errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err == nil && errno != 0 {
				return os.NewSyscallError("connect", unix.Errno(errno))
			}
			return os.NewSyscallError("getsockopt SO_ERROR", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case until.over():
			return fmt.Errorf("%w: the server does not accept, and its queue is full", os.NewSyscallError("connect", unix.ETIMEDOUT))
		}
	}
	return os.NewSyscallError("connect", err)
}

// begin sends what the step under way, and those after it that await nothing, have to send. Over TLS it does the handshake first, and is
// called again when more of that has come.
func (c *client) begin() error {
	if c.script.tls != nil && c.tls == nil {
		c.tls = secure(c.fd, c.script.tls)
	}
	if c.tls != nil {
		if over, err := c.tls.shake(); !over || err != nil {
			return err
		}
	}
	if c.script.streams > 0 && c.h2 == nil {
		c.h2 = newH2(c.script.streams)
	}
	c.got = nil
	for ; c.step < len(c.script.steps); c.step++ {
		s := c.script.steps[c.step]
		if len(s.send) > 0 {
			// The kernel takes it whole, or as much as a server that does not read is to have waiting.
			if err := c.write([]byte(s.send)); err != nil {
				return os.NewSyscallError("write", err)
			}
		}
		if s.await != nil {
			return nil
		}
	}
	c.ready = true
	return nil
}

// handshaking reports whether the TLS handshake is under way.
func (c *client) handshaking() bool { return c.tls != nil && c.tls.next != nil }

func (c *client) write(b []byte) (err error) {
	if c.tls != nil {
		_, err = c.tls.conn.Write(b)
	} else {
		_, err = unix.Write(c.fd, b)
	}
	return err
}

func (c *client) read(b []byte) (int, error) {
	if c.tls != nil {
		return c.tls.read(b)
	}
	return unix.Read(c.fd, b)
}

// said is what the server has said of the end before it came, as Endings.Said has it. It is empty if that is nothing.
func (c *client) said() string {
	var said []string
	if c.code != 0 {
		said = append(said, fmt.Sprintf("close %d", c.code))
	}
	if c.h2 != nil && c.h2.lost {
		said = append(said, "RST_STREAM")
	}
	if c.h2 != nil && c.h2.goAway {
		said = append(said, "GOAWAY")
	}
	if c.tls != nil && c.tls.notified && c.ending != Left {
		said = append(said, "close_notify")
	}
	if c.ending == Answered {
		return ""
	}
	return strings.Join(said, " + ")
}

// received deals with bytes of the server's. What nobody waits for is thrown away.
func (c *client) received(b []byte) error {
	if c.h2 != nil {
		return c.h2Frames(b)
	}
	if c.ready && c.script.frames {
		return c.frames(b)
	}
	await := c.script.answer
	if !c.ready {
		s := &c.script.steps[c.step]
		if await = s.await; len(c.got) == 0 && len(b) > 0 && bytes.Equal(b, s.seen) {
			c.step++
			return c.begin()
		}
	}
	if await == nil || c.ending == Answered {
		return nil
	}
	c.got = append(c.got, b...)
	switch done, err := await(c.got); {
	case err != nil:
		return err
	case !done && len(c.got) > maxAwaited:
		return fmt.Errorf("%d bytes came, and what is waited for is not among them", len(c.got))
	case !done:
	case !c.ready && !c.script.closes && saysClose(c.got):
		return errors.New("the answer says Connection: close; of a server that keeps no connection, measure those that have sent nothing yet: --kind fresh")
	case !c.ready:
		c.script.steps[c.step].seen = c.got
		c.step++
		return c.begin()
	default:
		c.last = c.script.closes || saysClose(c.got)
		c.ending, c.got = Answered, nil
	}
	return nil
}

// maxAwaited bounds what comes before the end of what is awaited.
const maxAwaited = 1 << 20

// reset closes the connection with RST, so that the client leaves no TIME_WAIT either.
func (c *client) reset() {
	if c.fd < 0 {
		return
	}
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	c.close()
}

func (c *client) close() {
	if c.handshaking() {
		c.tls.stop()
	}
	_ = unix.Close(c.fd)
	c.fd = -1
}
