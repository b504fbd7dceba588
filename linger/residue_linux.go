//go:build linux

package linger

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"rstserver/linger/sockdiag"
)

// residueMemory is how many of the last closes a Residue remembers. The kernel forgets a TIME_WAIT after 60 s and a FIN_WAIT2
// without a descriptor after tcp_fin_timeout, 60 s as well, so this covers a thousand closes a second; it takes 8 bytes each.
const residueMemory = 1 << 16

// Residue ends what ordinary closes have left on a server's port: sockets in TIME_WAIT, FIN_WAIT1, FIN_WAIT2, CLOSING and
// LAST_ACK, which have no descriptor any more, so that no abort reaches them. That takes CAP_NET_ADMIN. The server calls
// Closed for each connection that it closes in order, Note before it gives up its listener, and Destroy when its last
// connection has ended.
//
// It ends the server's own and nothing else. Those are known by their cookies, which no other socket has ever. The kernel
// does not say whose a TIME_WAIT was, and the server may have forgotten, or not have been there: one that Note finds counts
// as the server's own when the server's is the only listening socket at its address; with a process that shares that very
// socket they are shared. Ending it costs nobody any data. The other states are left alone unless Closed has told of them,
// since what another process has closed may still be on its way.
//
// The zero value is ready to use. All methods may be called from any goroutine.
type Residue struct {
	mu     sync.Mutex // guards what follows
	closed []uint64   // the cookies of the last closes, a ring once it is full
	next   int        // where the ring goes on
	before []sockdiag.Socket
	err    error // of Note
}

// Closed notes the cookie (see [Cookie]) of a connection that the server is about to close with FIN, or that its peer has
// ended. Zero, which no socket has, is ignored.
func (r *Residue) Closed(cookie uint64) {
	if cookie == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.closed) < residueMemory {
		r.closed = append(r.closed, cookie)
		return
	}
	r.closed[r.next] = cookie
	r.next = (r.next + 1) % residueMemory
}

// Note looks for what is left on the port of addr, the address that the server listens on. It has to be called while the
// server still listens, so that no successor's socket can be taken for one of its own. A failure is for Destroy to report.
func (r *Residue) Note(addr netip.AddrPort) {
	n := &noting{addr: addr}
	lookForResidue(n)
	r.note(n)
}

// noting is what a look at a port before its listener is given up has found.
type noting struct {
	addr      netip.AddrPort
	listeners int
	found     []sockdiag.Socket
	err       error
}

// lookForResidue asks the kernel once.
func lookForResidue(all ...*noting) {
	err := eachByPort(all, func(n *noting) uint16 { return n.addr.Port() }, func(n *noting, s *sockdiag.Socket) {
		switch {
		case !sameAddress(n.addr.Addr(), s.Local.Addr()):
		case s.State == sockdiag.Listen:
			n.listeners++
		case s.State == sockdiag.TimeWait:
			n.found = append(n.found, *s)
		}
	})
	for _, n := range all {
		n.err = err
	}
}

// eachByPort calls f for the sockets on the port of each of all, with one look at the kernel, which has to be over netlink.
func eachByPort[T any](all []T, port func(T) uint16, f func(T, *sockdiag.Socket)) error {
	byPort := make(map[uint16][]T, len(all))
	for _, t := range all {
		byPort[port(t)] = append(byPort[port(t)], t)
	}
	source, err := sockdiag.EachOf(slices.Collect(maps.Keys(byPort)), func(s *sockdiag.Socket) bool {
		for _, t := range byPort[s.Local.Port()] {
			f(t, s)
		}
		return true
	})
	if err == nil && source != sockdiag.FromNetlink {
		err = errNoNetlink
	}
	return err
}

func (r *Residue) note(n *noting) {
	if n.listeners > 1 {
		n.found = nil // somebody else serves there too
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.err = n.found, n.err
}

// sameAddress reports whether a connection with the local address ip can be one of a listener on addr, or a listener on ip can
// be in its way. An unspecified IPv6 address stands for IPv4 too.
func sameAddress(addr, ip netip.Addr) bool {
	addr, ip = addr.Unmap().WithZone(""), ip.Unmap().WithZone("")
	all := func(a, b netip.Addr) bool { return a.IsUnspecified() && (a.Is6() || b.Is4()) }
	return addr == ip || all(addr, ip) || all(ip, addr)
}

// Destroy ends what is left of the server on port. ended holds the cookies of the connections that the server has aborted (see
// [Sweep]), of which one that both sides had closed before leaves a TIME_WAIT.
//
// What a client has not acknowledged of a connection that was closed in order is lost: it reads ECONNRESET after what it
// has. Without the right nothing is touched, and the Swept says so.
func (r *Residue) Destroy(port uint16, ended []uint64) Swept {
	d := &destroying{residue: r, port: port, ended: ended}
	destroyAll(d)
	return d.swept
}

// destroying is one Destroy at work.
type destroying struct {
	residue *Residue
	port    uint16
	ended   []uint64
	ours    map[uint64]bool
	left    []sockdiag.Socket
	swept   Swept
}

// destroyAll asks the kernel once what is left of several servers.
func destroyAll(all ...*destroying) {
	for _, d := range all {
		d.residue.mu.Lock()
		d.ours = make(map[uint64]bool, len(d.residue.closed)+len(d.ended))
		for _, cookies := range [...][]uint64{d.residue.closed, d.ended} {
			for _, cookie := range cookies {
				d.ours[cookie] = true
			}
		}
		for i := range d.residue.before {
			d.ours[d.residue.before[i].Cookie] = true
		}
		d.residue.mu.Unlock()
	}
	err := eachByPort(all, func(d *destroying) uint16 { return d.port }, func(d *destroying, s *sockdiag.Socket) {
		// One with a descriptor is not left over, but somebody's.
		if leaving(s.State) && !s.HoldsPort() && s.Inode == 0 && d.ours[s.Cookie] {
			d.left = append(d.left, *s)
		}
	})
	for _, d := range all {
		if err != nil {
			d.swept = Swept{Reason: reason(err)}
		} else {
			d.destroy()
		}
	}
}

// destroy ends what is left.
func (d *destroying) destroy() {
	ended, err := sockdiag.Destroy(d.left)
	d.swept = Swept{Destroyed: ended.Destroyed, Refused: len(ended.Refused)}
	d.residue.mu.Lock()
	defer d.residue.mu.Unlock()
	switch {
	case err != nil:
		d.swept.Refused = len(d.left) - ended.Destroyed - ended.Gone
		d.swept.Reason = reason(err)
	case len(ended.Refused) > 0:
		d.swept.Reason = reason(ended.Refused[0].Err)
	case d.residue.err != nil:
		d.swept.Reason = "older ones could not be looked for: " + reason(d.residue.err)
	}
}

// unacknowledged reports whether there are closed connections on port of which the peer has not acknowledged everything.
func (r *Residue) unacknowledged(port uint16) bool {
	r.mu.Lock()
	ours := make(map[uint64]bool, len(r.closed))
	for _, cookie := range r.closed {
		ours[cookie] = true
	}
	r.mu.Unlock()
	found := false
	_, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
		switch s.State {
		case sockdiag.FinWait1, sockdiag.Closing, sockdiag.LastAck:
			found = s.Inode == 0 && ours[s.Cookie]
		}
		return !found
	})
	return found && err == nil
}
