//go:build linux

package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// What the filter takes is what parse can read, and nothing else is taken.
func TestFilter(t *testing.T) {
	const port = 8080
	const ack, syn, psh = 1 << 4, 1 << 1, 1 << 3
	to4, to6 := netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("2001:db8::9")
	tcp := func(from uint16, flags byte) []byte {
		b := make([]byte, 20)
		binary.BigEndian.PutUint16(b, from)
		binary.BigEndian.PutUint16(b[2:], 40_000)
		b[12], b[13] = 5<<4, flags
		return b
	}
	v4 := func(words, protocol byte, fragment uint16, segment []byte) []byte {
		b := make([]byte, int(words)*4)
		b[0], b[9] = 4<<4|words, protocol
		binary.BigEndian.PutUint16(b[6:], fragment)
		copy(b[16:], to4.AsSlice())
		return append(b, segment...)
	}
	v6 := func(next byte, segment []byte) []byte {
		b := make([]byte, 40)
		b[0], b[6] = 6<<4, next
		copy(b[24:], to6.AsSlice())
		return append(b, segment...)
	}
	tests := []struct {
		name   string
		packet []byte
		to     netip.Addr // not valid: it is not taken
		rst    bool
	}{
		{"v4, RST", v4(5, unix.IPPROTO_TCP, 0, tcp(port, rst)), to4, true},
		{"v4, RST and ACK, not to be fragmented", v4(5, unix.IPPROTO_TCP, 0x4000, tcp(port, rst|ack)), to4, true},
		{"v4, FIN", v4(5, unix.IPPROTO_TCP, 0, tcp(port, fin|ack)), to4, false},
		{"v4, FIN with data", v4(5, unix.IPPROTO_TCP, 0, append(tcp(port, fin|psh|ack), make([]byte, 30_000)...)), to4, false},
		{"v4, RST behind options", v4(15, unix.IPPROTO_TCP, 0, tcp(port, rst)), to4, true},
		{"v6, RST", v6(unix.IPPROTO_TCP, tcp(port, rst)), to6, true},
		{"v6, FIN", v6(unix.IPPROTO_TCP, tcp(port, fin|ack)), to6, false},
		{"v4, data", v4(5, unix.IPPROTO_TCP, 0, tcp(port, psh|ack)), netip.Addr{}, false},
		{"v4, SYN and ACK", v4(5, unix.IPPROTO_TCP, 0, tcp(port, syn|ack)), netip.Addr{}, false},
		{"v4, from another port", v4(5, unix.IPPROTO_TCP, 0, tcp(port+1, rst)), netip.Addr{}, false},
		{"v4, UDP", v4(5, unix.IPPROTO_UDP, 0, tcp(port, rst)), netip.Addr{}, false},
		{"v4, a later fragment", v4(5, unix.IPPROTO_TCP, 0x2001, tcp(port, rst)), netip.Addr{}, false},
		{"v6, data", v6(unix.IPPROTO_TCP, tcp(port, ack)), netip.Addr{}, false},
		{"v6, from another port", v6(unix.IPPROTO_TCP, tcp(port-1, fin)), netip.Addr{}, false},
		{"v6, UDP", v6(unix.IPPROTO_UDP, tcp(port, rst)), netip.Addr{}, false},
		{"neither", append([]byte{5 << 4}, v4(5, unix.IPPROTO_TCP, 0, tcp(port, rst))[1:]...), netip.Addr{}, false},
		{"cut off", v4(5, unix.IPPROTO_TCP, 0, tcp(port, rst))[:20+withFlags], netip.Addr{}, false},
		{"nothing", nil, netip.Addr{}, false},
	}
	vm, err := bpf.NewVM(filter(port))
	lingertest.Must(t, err)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := vm.Run(tt.packet)
			lingertest.Must(t, err)
			if (n > 0) != tt.to.IsValid() {
				t.Fatalf("%d bytes are taken, want any: %v", n, tt.to.IsValid())
			}
			if n == 0 {
				return
			}
			s, err := parse(tt.packet[:min(n, len(tt.packet))])
			if want := (Segment{To: netip.AddrPortFrom(tt.to, 40_000), RST: tt.rst}); s != want || err != nil {
				t.Errorf("parse() = %+v, %v, want %+v", s, err, want)
			}
		})
	}
}

// What is no segment is an error, of whatever length.
func TestParseErrors(t *testing.T) {
	whole := make([]byte, 40+withFlags+1)
	for _, version := range []byte{version4 | 5, version4 | 15, version6, 0} {
		whole[0] = version
		for n := range whole {
			least := 20 + withFlags + 1
			if version == version6 {
				least = len(whole)
			}
			if version == version4|5 && n >= least {
				break
			}
			if s, err := parse(whole[:n]); err == nil {
				t.Errorf("parse of %d bytes of a packet that begins with %#x = %+v, want an error", n, version, s)
			}
		}
	}
}
