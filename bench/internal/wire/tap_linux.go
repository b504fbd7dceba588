//go:build linux

// Package wire takes down when a server's ends of connections go over the loopback interface: each segment with RST or FIN from one
// port, with the kernel's time of it. A client on the same machine learns of an end once it gets a processor, which is later. The package
// touches nothing but a packet socket of its own (packet(7)), and knows of no server and of no client.
package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
)

// Tap is a packet socket on the loopback interface of the network namespace that it was opened in. The kernel writes what it sees into a
// ring with room for all of it, so that nobody is woken by a segment and nobody reads until all is over. What is left of its cost is a
// copy of each segment's headers, on the processor of whoever sends it. A Tap is used by one goroutine.
type Tap struct {
	fd   int
	ring ring
	lead time.Duration // kernel.Lead, when it was opened
}

// Segment is one that the port has sent.
type Segment struct {
	At  time.Duration  // of kernel.Now, when the loopback interface has handed it on
	To  netip.AddrPort // the client's end
	RST bool           // if not, it is a FIN
}

// Seen is what a Tap has taken down.
type Seen struct {
	Segments []Segment // in the order of their arrival
	Dropped  int       // segments that there was no room for
}

// loopback is the number of the interface lo in every network namespace (LOOPBACK_IFINDEX of net/flow.h).
const loopback = 1

// Open begins to take down the RST and FIN that a port sends, over IPv4 and IPv6. There is room for so many at least. Without CAP_NET_RAW
// the error says that it is needed, and is [unix.EPERM].
func Open(port uint16, room int) (_ *Tap, err error) {
	// As long as it has no protocol nothing comes, so nothing comes past the filter.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == unix.EPERM {
		return nil, fmt.Errorf("bench: seeing segments needs CAP_NET_RAW: %w", os.NewSyscallError("socket AF_PACKET", err))
	}
	if err != nil {
		return nil, fmt.Errorf("bench: %w", os.NewSyscallError("socket AF_PACKET", err))
	}
	t := &Tap{fd: fd}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	// The interface hands everything on twice, out and in again. In is what the client gets.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return nil, fmt.Errorf("bench: %w", os.NewSyscallError("setsockopt PACKET_IGNORE_OUTGOING", err))
	}
	if err := attach(fd, port); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if t.ring, err = newRing(fd, room); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	t.lead = kernel.Lead()
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: loopback}); err != nil {
		return nil, fmt.Errorf("bench: %w", os.NewSyscallError("bind AF_PACKET", err))
	}
	return t, nil
}

// Read returns what has been taken down so far. It is called once, since the kernel forgets what it has dropped when it is asked.
func (t *Tap) Read() (Seen, error) {
	stats, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return Seen{}, fmt.Errorf("bench: %w", os.NewSyscallError("getsockopt PACKET_STATISTICS", err))
	}
	if err := steady(t.lead, kernel.Lead()); err != nil {
		return Seen{}, err
	}
	seen := Seen{Dropped: int(stats.Drops), Segments: make([]Segment, 0, stats.Packets-stats.Drops)}
	for i := range int(stats.Packets - stats.Drops) {
		stamp, headers := t.ring.frame(i)
		s, err := parse(headers)
		if err != nil {
			return Seen{}, err
		}
		s.At = stamp - t.lead
		seen.Segments = append(seen.Segments, s)
	}
	return seen, nil
}

// step is by how much the clock that the kernel stamps segments with may go wrong while they are. It is kept right by less.
const step = time.Millisecond

// steady is an error if that clock was set in the meantime: nothing is known then of when a segment was sent.
func steady(before, after time.Duration) error {
	if d := (after - before).Abs(); d > step {
		return fmt.Errorf("bench: the machine's clock was set by %s while segments were stamped with it: measure again", d)
	}
	return nil
}

// Close ends it. It can be called twice.
func (t *Tap) Close() {
	t.ring.unmap()
	if t.fd >= 0 {
		_ = unix.Close(t.fd)
	}
	t.fd = -1
}
