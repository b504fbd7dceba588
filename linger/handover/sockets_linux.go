//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/internal/claims"
	"rstserver/internal/tcpsock"
	"rstserver/linger"
)

// socket is a listening socket that a Handover holds, for Listen and for successors. Handover.mu guards what changes.
type socket struct {
	fd     int // a descriptor of its own: listeners have others
	addr   netip.AddrPort
	cookie uint64
	name   string // in LISTEN_FDNAMES, if it was passed with one
	asked  string // what Listen was asked for, by this process or the one before; empty if nobody has
	passed bool   // by systemd, and not taken yet
	taken  bool   // by Listen
}

// newSocket takes over the socket of f, which is closed in any case.
func newSocket(f *os.File) (*socket, error) {
	defer f.Close()
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{fd: -1, name: f.Name()}
	if strings.HasPrefix(s.name, "LISTEN_FD_") { // which is how go-systemd calls what has none
		s.name = ""
	}
	if e := rc.Control(func(fd uintptr) { err = s.copyFrom(int(fd)) }); e != nil || err != nil {
		return nil, errors.Join(e, err)
	}
	return s, nil
}

func (s *socket) copyFrom(fd int) (err error) {
	if err = tcpsock.CheckListens(fd); err != nil {
		return err
	}
	if s.addr, err = tcpsock.LocalAddr(fd); err != nil {
		return err
	}
	s.cookie, _ = linger.Cookie(fd) // there are none before Linux 4.6
	s.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
}

// close closes the descriptor, while no child is between fork and exec, whose copy would keep the port.
func (s *socket) close() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
	}
	s.fd = -1
}

// listener returns a listener on the socket, with a descriptor of its own.
func (s *socket) listener() (net.Listener, error) {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close() // it has been duplicated once more by then, and made non-blocking: what systemd-socket-activate passes is not
	return net.FileListener(f)
}

// isAt reports whether the socket is what network and address ask for.
func (s *socket) isAt(network string, a *net.TCPAddr) bool {
	if a.Port == 0 || int(s.addr.Port()) != a.Port {
		return false
	}
	asked, _ := netip.AddrFromSlice(a.IP)
	asked, have := asked.Unmap(), s.addr.Addr().Unmap()
	switch {
	case network == "tcp4" && !have.Is4(), network == "tcp6" && have.Is4():
		return false
	case !asked.IsValid() || asked.IsUnspecified():
		return have.IsUnspecified()
	}
	return have.WithZone("") == asked && (a.Zone == "" || have.Zone() == a.Zone)
}

// isServed reports whether a server of this process still accepts from the socket, as far as servers say so.
func (s *socket) isServed() bool {
	claimed, _ := claims.On(s.addr.Port())
	return s.cookie != 0 && claimed[s.cookie]
}

// Listen returns a listener for address, as for [net.Listen]: on a socket that was inherited, from a predecessor whose Listen was asked for the
// same, or at that address; otherwise on a new one. An empty address means the one socket that systemd has passed, and fd:NAME
// the one that it has passed by that name (FileDescriptorName=).
//
// It is for a [rstserver/poller.Server], or for any server that accepts from a net.Listener, behind [Handover.Ready]: before, the predecessor
// serves. Whoever has it closes it as ever. The Handover holds the socket beside it until Close. Called for the same address again, it returns
// another listener on the same socket; that is for a process that serves again (see [Handover.Lost]).
//
// Where the address cannot be listened on the predecessor is told; its HandOver returns it as the reason if this process ends then. The network is
// tcp, tcp4 or tcp6. Any goroutine may call it.
func (h *Handover) Listen(network, address string) (*linger.Listener, error) {
	l, err := h.listen(network, address)
	if err != nil {
		h.note(err)
	}
	return l, err
}

func (h *Handover) listen(network, address string) (*linger.Listener, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("handover: network %q: only tcp, tcp4 and tcp6 can be listened on", network)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == closed {
		return nil, ErrClosed
	}
	s, err := h.findLocked(network, address)
	if err != nil {
		return nil, err
	}
	asked := network + " " + address
	if s == nil {
		if s, err = h.open(network, address); err != nil {
			return nil, h.explainLocked(err)
		}
		h.sockets = append(h.sockets, s)
	}
	s.asked, s.passed, s.taken = asked, false, true
	ln, err := s.listener()
	if err != nil {
		return nil, fmt.Errorf("handover: listener %s: %w", s.addr, err)
	}
	l, err := h.options.Listen.Wrap(ln)
	if err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("handover: %w", err)
	}
	return l, nil
}

// open opens a socket that was not inherited. h.mu is held, but for the time that it is looked up: a name may take long.
func (h *Handover) open(network, address string) (*socket, error) {
	ln, err := h.options.Open(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("Options.Open returned a %T, not a *net.TCPListener", ln)
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := new(socket)
	if e := rc.Control(func(fd uintptr) { err = s.copyFrom(int(fd)) }); e != nil || err != nil {
		return nil, errors.Join(e, err)
	}
	return s, nil
}

// findLocked returns the socket that was asked for, nil if there is none.
func (h *Handover) findLocked(network, address string) (*socket, error) {
	if name, ok := strings.CutPrefix(address, "fd:"); ok || address == "" {
		return h.findPassedLocked(network, address, name)
	}
	for _, s := range h.sockets {
		if s.asked == network+" "+address {
			return s, nil
		}
	}
	a, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	for _, s := range h.sockets {
		if s.isAt(network, a) {
			return s, nil
		}
	}
	return nil, nil
}

func (h *Handover) findPassedLocked(network, address, name string) (*socket, error) {
	var found []*socket
	for _, s := range h.sockets {
		if s.asked == network+" "+address {
			return s, nil
		}
		if s.passed && (address == "" || s.name == name) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("handover: systemd has passed several sockets, %s: say which one by its address, or by fd:NAME", describe(found))
	case address == "":
		return nil, errors.New("handover: systemd has passed no socket: give an address")
	}
	return nil, fmt.Errorf("handover: systemd has passed no socket by the name %s (FileDescriptorName=), but %s", name, describe(h.passedLocked()))
}

// passedLocked returns what systemd has passed and nobody has taken.
func (h *Handover) passedLocked() (passed []*socket) {
	for _, s := range h.sockets {
		if s.passed {
			passed = append(passed, s)
		}
	}
	return passed
}

// explainLocked names what was passed beside what could not be listened on.
func (h *Handover) explainLocked(err error) error {
	if passed := h.passedLocked(); len(passed) > 0 {
		return fmt.Errorf("handover: %w; systemd has passed %s, which is another address", err, describe(passed))
	}
	return fmt.Errorf("handover: %w", err)
}

// Passed returns the addresses of the sockets that systemd has passed and that Listen was not asked for yet. For a successor they are those that
// its predecessors have asked for by what systemd calls them, or by nothing, and not by their address.
func (h *Handover) Passed() (addrs []netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sockets {
		_, asked, _ := strings.Cut(s.asked, " ")
		if s.passed || !s.taken && s.asked != "" && (asked == "" || strings.HasPrefix(asked, "fd:")) {
			addrs = append(addrs, s.addr)
		}
	}
	return addrs
}

func describe(sockets []*socket) string {
	if len(sockets) == 0 {
		return "none"
	}
	var all []string
	for _, s := range sockets {
		text := s.addr.String()
		if s.name != "" {
			text += " (" + s.name + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}
