//go:build linux

package linger

import (
	"iter"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
	"rstserver/linger/sockdiag"
)

// All yields the connections that are alive when the iteration begins and still are when their turn comes, in no particular
// order. The kernel is asked about each when its turn comes. The loop may take its time and call what it likes: no lock is
// held, and no descriptor, so that connections come, go and are aborted meanwhile.
func (l *Listener) All() iter.Seq[ConnInfo] {
	return func(yield func(ConnInfo) bool) {
		for _, e := range l.conns.snapshot() {
			if info, ok := e.info(); ok && !yield(info) {
				return
			}
		}
	}
}

// AbortIf resets each connection for which selector returns true, and returns how many. What selector sees may have changed
// by the time of the reset, which follows at once: a connection that was idle may just have received a request.
func (l *Listener) AbortIf(selector func(ConnInfo) bool) int {
	n, r := 0, newResetter()
	for _, e := range l.conns.snapshot() {
		if info, ok := e.info(); !ok || !selector(info) {
			continue
		}
		if e.abort(r) { // what the kernel refuses to reset in place is closed, and thereby reset
			n++
		}
	}
	return n
}

// CloseIdle closes each connection of the set on which nothing was sent either way for so long, as its user's Close does, and returns how
// many. One whose peer does not take what it was sent is reset. The user's reads and writes fail from then on.
func (s *Conns) CloseIdle(since time.Duration) (n int) {
	r := newResetter()
	for _, e := range s.snapshot() {
		t, ok := e.traffic()
		switch {
		case !ok || !t.tcp || min(t.SinceReceived, t.SinceSent) < since:
		case t.SendQueue > 0:
			if e.abort(r) {
				n++
			}
		case e.close() == nil:
			n++
		}
	}
	return n
}

// traffic is what the kernel knows of a connection.
type traffic struct {
	ConnInfo
	tcp      bool   // the rest is known
	received uint64 // bytes
	sent     uint32 // segments with data

	roundTrip time.Duration
}

// info asks the kernel. ok is false when the connection is not alive any more.
func (e *entry) info() (info ConnInfo, ok bool) {
	t, ok := e.traffic()
	if ok {
		local, remote := addresses(e.below)
		t.Local, t.Remote = addrPort(local), addrPort(remote)
		t.Accepted = time.Unix(0, e.accepted)
	}
	return t.ConnInfo, ok
}

// traffic asks likewise, for all but what does not change.
func (e *entry) traffic() (t traffic, ok bool) {
	if e.state.Load() != phaseLive {
		return t, false
	}
	raw, err := reach(e.below)
	if err != nil {
		return t, false
	}
	err = raw.Control(func(fd uintptr) { t.ask(int(fd)) })
	return t, err == nil // it may be closed
}

// InfoOf is what the kernel knows of the connection fd, but for Remote and Accepted. ok is false where fd is none of TCP. The owner of fd
// calls it.
func InfoOf(fd int) (info ConnInfo, ok bool) {
	var t traffic
	if t.ask(fd); t.tcp {
		t.Local, _ = tcpsock.LocalAddr(fd)
	}
	return t.ConnInfo, t.tcp
}

func (t *traffic) ask(fd int) {
	tcp, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return // not TCP
	}
	t.tcp = true
	t.State = sockdiag.State(tcp.State)
	t.SinceReceived = time.Duration(tcp.Last_data_recv) * time.Millisecond
	t.SinceSent = time.Duration(tcp.Last_data_sent) * time.Millisecond
	t.received, t.sent = tcp.Bytes_received, tcp.Data_segs_out
	t.roundTrip = time.Duration(tcp.Rtt) * time.Microsecond
	t.RecvQueue, _ = unix.IoctlGetInt(fd, unix.SIOCINQ)
	t.SendQueue, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
}

// addrPort is the zero AddrPort for what is none of TCP's.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
