//go:build linux

package engine

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
	"rstserver/linger"
)

// Whether accept blocks is a property of the open file, which others may share and change: os.File.Fd does, and with it os/exec
// when the listening socket is passed on to a child. A loop that another loop or process is quicker than then blocks until
// somebody connects, and keeps the socket open for that long. A limit for accept (SO_RCVTIMEO) would be inherited by connections,
// others' too. So the file is set right whenever it is found to block, and a loop that is blocked already is freed by
// connections of the port to itself.

// knocks are connections of the port to itself.
type knocks struct {
	suspect atomic.Bool  // the file was found to block once: somebody shares it who does that
	open    atomic.Int32 // len(from)

	mu   sync.Mutex // guards from
	from map[netip.AddrPort]bool
}

const (
	// answerPatience is how long a loop may take to run a task, before it is taken for blocked in accept. If it is not, it is
	// knocked at in vain.
	answerPatience = 10 * time.Millisecond
	// A knock can be taken by a sibling with SO_REUSEPORT, so there are some, so long after one another.
	knockTries = 16
	knockPause = 2 * time.Millisecond
	// The loopback answers at once, unless its packets wait for a busy processor. A connection that is reset before it is
	// established wakes nobody.
	knockPatience = 100 * time.Millisecond
)

// keepNonblocking sets the file of l's listening socket right. On the loop.
func (p *Port) keepNonblocking(l *Loop) {
	if setNonblocking(l.number) {
		p.knocks.suspect.Store(true)
	}
}

// setNonblocking sets the file of fd right, and reports whether that was necessary.
func setNonblocking(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		return false
	}
	_ = unix.SetNonblock(fd, true)
	return true
}

// Unblock frees loops that are blocked in accept. If there can be such it takes some milliseconds.
func (p *Port) Unblock() {
	var loops []*Loop
	p.Control(func(fd int) {
		if setNonblocking(fd) {
			p.knocks.suspect.Store(true)
		}
		if p.knocks.suspect.Load() {
			loops = append(loops, p.loops...)
		}
	})
	empty := len(loops) > 0 && !p.Waits()
	silent := dontAnswer(loops, answerPatience)
	if len(silent) == 0 {
		if empty { // so that no loop has yet to find out about a knock
			p.knocks.forget()
		}
		return
	}
	// Only those that are in accept are to be woken.
	p.mu.Lock()
	for _, l := range p.loops {
		_ = l.leave()
	}
	p.mu.Unlock()
	p.Knock(func() bool {
		silent = dontAnswer(silent, knockPause)
		return len(silent) == 0
	})
	p.mu.Lock()
	_ = p.rejoin() // a loop that cannot is roused
	p.mu.Unlock()
}

// dontAnswer returns the loops that do not run a task within so long.
func dontAnswer(loops []*Loop, patience time.Duration) (silent []*Loop) {
	if len(loops) == 0 {
		return nil
	}
	answered := make(chan *Loop, len(loops))
	asked := make(map[*Loop]bool)
	for _, l := range loops {
		if l.Post(func() { answered <- l }) {
			asked[l] = true
		}
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for len(asked) > 0 {
		select {
		case l := <-answered:
			delete(asked, l)
			continue
		case <-timeout.C:
		}
		break
	}
	for l := range asked {
		silent = append(silent, l)
	}
	return silent
}

// Knock connects to the port, given up or not, until enough reports true, which it asks between two connections and which takes
// a moment then. It gives up in the end.
func (p *Port) Knock(enough func() bool) {
	for range knockTries {
		for _, to := range p.reachable() {
			p.knock(to)
		}
		if enough() {
			break
		}
	}
}

// forget expects no knocks any more: the loops have seen theirs, and others have taken the rest.
func (k *knocks) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.from = nil
	k.open.Store(0)
}

// reachable are addresses of this machine that lead to the socket.
func (p *Port) reachable() []unix.Sockaddr {
	switch sa := p.address.(type) {
	case *unix.SockaddrInet4:
		if sa.Addr == [4]byte{} {
			return []unix.Sockaddr{&unix.SockaddrInet4{Port: sa.Port, Addr: [4]byte{127, 0, 0, 1}}}
		}
	case *unix.SockaddrInet6:
		if sa.Addr == [16]byte{} {
			// There may be no IPv6 but for the socket, or the socket may be for nothing else.
			return []unix.Sockaddr{
				&unix.SockaddrInet6{Port: sa.Port, Addr: netip.IPv6Loopback().As16()},
				&unix.SockaddrInet6{Port: sa.Port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()},
			}
		}
	}
	return []unix.Sockaddr{p.address}
}

// knock connects to the address, from the same, and resets that connection.
func (p *Port) knock(to unix.Sockaddr) {
	var domain int
	var from unix.Sockaddr
	switch to := to.(type) {
	case *unix.SockaddrInet4:
		domain, from = unix.AF_INET, &unix.SockaddrInet4{Addr: to.Addr}
	case *unix.SockaddrInet6:
		domain, from = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.Addr, ZoneId: to.ZoneId}
	}
	s, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(s)
	if linger.Arm(s) != nil || unix.Bind(s, from) != nil {
		return
	}
	own, err := tcpsock.LocalAddr(s)
	if err != nil {
		return
	}
	k := &p.knocks
	k.mu.Lock()
	if k.from == nil {
		k.from = make(map[netip.AddrPort]bool)
	}
	k.from[withoutZone(own)] = true
	k.open.Store(int32(len(k.from)))
	k.mu.Unlock()
	if unix.Connect(s, to) == unix.EINPROGRESS {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s), Events: unix.POLLOUT}}, int(knockPatience.Milliseconds()))
	}
}

// isKnock reports whether a connection from there is the port's own. On the loop.
func (p *Port) isKnock(from netip.AddrPort) bool {
	k := &p.knocks
	if k.open.Load() == 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.from[withoutZone(from)]
}

func withoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}
