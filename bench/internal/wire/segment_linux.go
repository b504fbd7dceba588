//go:build linux

package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What of a packet is looked at (RFC 791, 8200 and 9293).
const (
	fin = 1 << 0 // of the flags of TCP
	rst = 1 << 2

	version4, version6 = 4 << 4, 6 << 4 // with a mask of 0xf0, in the first byte
	headerLength6      = 40

	toPort    = 2 // in the header of TCP
	withFlags = 13

	// snapLength reaches as far as the flags behind the longest header of IPv4.
	snapLength = 60 + withFlags + 1
)

// filter takes the segments with FIN or RST that a port has sent. A header of IPv6 that has others behind it is none that TCP on the
// loopback interface sends.
func filter(port uint16) []bpf.Instruction {
	const fragment = 0x1fff // an offset
	unless := func(cond bpf.JumpTest, val uint32, taken uint8) bpf.Instruction {
		return bpf.JumpIf{Cond: cond, Val: val, SkipFalse: taken}
	}
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
		unless(bpf.JumpEqual, version4, 6), // it is IPv6, or none
		bpf.LoadAbsolute{Off: 9, Size: 1},
		unless(bpf.JumpEqual, unix.IPPROTO_TCP, 13),
		bpf.LoadAbsolute{Off: 6, Size: 2},
		unless(bpf.JumpBitsNotSet, fragment, 11),
		bpf.LoadMemShift{Off: 0},
		bpf.Jump{Skip: 4},

		unless(bpf.JumpEqual, version6, 8),
		bpf.LoadAbsolute{Off: 6, Size: 1},
		unless(bpf.JumpEqual, unix.IPPROTO_TCP, 6),
		bpf.LoadConstant{Dst: bpf.RegX, Val: headerLength6},

		bpf.LoadIndirect{Off: 0, Size: 2},
		unless(bpf.JumpEqual, uint32(port), 3),
		bpf.LoadIndirect{Off: withFlags, Size: 1},
		unless(bpf.JumpBitsSet, fin|rst, 1),
		bpf.RetConstant{Val: snapLength},
		bpf.RetConstant{Val: 0},
	}
}

// attach gives a packet socket what the filter takes.
func attach(fd int, port uint16) error {
	raw, err := bpf.Assemble(filter(port))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog))
}

// parse reads what the filter has let through.
func parse(packet []byte) (Segment, error) {
	var to netip.Addr
	header := headerLength6
	switch {
	case len(packet) > headerLength6 && packet[0]&0xf0 == version6:
		to = netip.AddrFrom16([16]byte(packet[24:40])).Unmap()
	case len(packet) > 20 && packet[0]&0xf0 == version4:
		to = netip.AddrFrom4([4]byte(packet[16:20]))
		header = int(packet[0]&0xf) * 4
	}
	if !to.IsValid() || len(packet) <= header+withFlags {
		return Segment{}, fmt.Errorf("bench: the kernel has let a packet through that is no whole segment: %x", packet)
	}
	segment := packet[header:]
	return Segment{To: netip.AddrPortFrom(to, binary.BigEndian.Uint16(segment[toPort:])), RST: segment[withFlags]&rst != 0}, nil
}
