//go:build linux

package engine

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger"
)

// Whether accept blocks is a property of the open file, which others may share and change: os.File.Fd does, and with it os/exec
// when the listening socket is passed on to a child. A loop that another loop or process is quicker than would then block
// until somebody connects, and keep the socket open for that long. A limit for accept (SO_RCVTIMEO) would be inherited by
// connections, others' too. So each accept sets the file right for the next, and for a loop that is blocked already the port
// connects to itself.

// knocks are connections of the port to itself.
type knocks struct {
	seen atomic.Bool  // the file was found to block since unblock has last looked
	open atomic.Int32 // len(from)

	mu   sync.Mutex // guards from
	from map[netip.AddrPort]bool
}

// knockPatience is how long a loop may take to run a task, before it is taken for blocked in accept. If it is not, it is
// knocked at in vain.
const knockPatience = 10 * time.Millisecond

// keepNonblocking sets the file of l's listening socket right. On the loop.
func (p *Port) keepNonblocking(l *Loop) {
	if flags, err := unix.FcntlInt(uintptr(l.number), unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK == 0 {
		p.knocks.seen.Store(true)
		_ = unix.SetNonblock(l.number, true)
	}
}

// unblock frees loops that are blocked in accept, if there can be any.
func (p *Port) unblock() {
	var loops []*Loop
	p.Control(func(fd int) {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		blocks := err == nil && flags&unix.O_NONBLOCK == 0
		if blocks {
			_ = unix.SetNonblock(fd, true)
		}
		if p.knocks.seen.Swap(false) || blocks {
			loops = append(loops, p.loops...)
		}
	})
	if len(loops) == 0 {
		return
	}
	alive := make(chan struct{}, len(loops))
	silent := 0
	for _, l := range loops {
		if l.Post(func() { alive <- struct{}{} }) {
			silent++
		}
	}
	patience := time.NewTimer(knockPatience)
	defer patience.Stop()
	for silent > 0 {
		select {
		case <-alive:
			silent--
			continue
		case <-patience.C:
		}
		break
	}
	for range silent {
		p.Control(p.knock)
	}
}

// knock connects to the socket fd, and resets that connection.
func (p *Port) knock(fd int) {
	to, err := LocalAddr(fd)
	if err != nil {
		return
	}
	ip := to.Addr()
	if ip.IsUnspecified() {
		if ip = netip.AddrFrom4([4]byte{127, 0, 0, 1}); to.Addr().Is6() {
			ip = netip.IPv6Loopback()
		}
	}
	domain, address := unix.AF_INET6, func(port uint16) unix.Sockaddr { return &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()} }
	if ip.Is4() {
		domain, address = unix.AF_INET, func(port uint16) unix.Sockaddr { return &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()} }
	}
	s, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(s)
	if linger.Arm(s) != nil || unix.Bind(s, address(0)) != nil {
		return
	}
	own, err := LocalAddr(s)
	if err != nil {
		return
	}
	k := &p.knocks
	k.mu.Lock()
	if k.from == nil {
		k.from = make(map[netip.AddrPort]bool)
	}
	k.from[own] = true
	k.open.Store(int32(len(k.from)))
	k.mu.Unlock()
	_ = unix.Connect(s, address(to.Port())) // EINPROGRESS, or done: the loopback answers at once
}

// isKnock reports whether c is the port's own. On the loop.
func (p *Port) isKnock(c Conn) bool {
	k := &p.knocks
	if k.open.Load() == 0 {
		return false
	}
	from := c.RemoteAddr()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.from[from] {
		return false
	}
	delete(k.from, from)
	k.open.Store(int32(len(k.from)))
	return true
}
