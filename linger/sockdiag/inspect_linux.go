//go:build linux

package sockdiag

import (
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inetDiagInfo is INET_DIAG_INFO, the attribute that holds a struct tcp_info.
const inetDiagInfo = 2

// Inspect is Port with the Traffic of each socket. The kernel locks each connection to find that out and answers with four
// times as many bytes, so it takes some times as long. Its errors are Port's.
func Inspect(port uint16) (Dump, error) { return kernel.inspect(port) }

func (sys system) inspect(port uint16) (Dump, error) {
	return sys.collect(ports{port}, 1<<(inetDiagInfo-1), func(b []byte) Socket {
		s := decode(b)
		if !s.HoldsPort() { // of these too the kernel sends a tcp_info, with zeroes
			s.Traffic = decodeTraffic(b)
			s.Traffic.Outgoing = outgoing(&s, attribute(b, inetDiagInfo))
		}
		return s
	})
}

// decodeTraffic finds the traffic in the attributes behind an inet_diag_msg.
func decodeTraffic(b []byte) Traffic {
	const lastSent, lastReceived = unsafe.Offsetof(unix.TCPInfo{}.Last_data_sent), unsafe.Offsetof(unix.TCPInfo{}.Last_data_recv)
	// Later kernels have a longer tcp_info, with these where they were.
	info := attribute(b, inetDiagInfo)
	if uintptr(len(info)) < lastReceived+4 {
		return Traffic{}
	}
	milliseconds := func(offset uintptr) time.Duration {
		return time.Duration(binary.NativeEndian.Uint32(info[offset:])) * time.Millisecond
	}
	return Traffic{Known: true, LastReceived: milliseconds(lastReceived), LastSent: milliseconds(lastSent)}
}

// outgoing reports whether the connection with this struct tcp_info was made by connect(2). Then its SYN was acknowledged as one byte
// that nobody has written: what is acknowledged, or waits for that, is one more than what was sent.
func outgoing(s *Socket, info []byte) bool {
	const acked, notSent, sent, sentAgain = unsafe.Offsetof(unix.TCPInfo{}.Bytes_acked), unsafe.Offsetof(unix.TCPInfo{}.Notsent_bytes),
		unsafe.Offsetof(unix.TCPInfo{}.Bytes_sent), unsafe.Offsetof(unix.TCPInfo{}.Bytes_retrans)
	if s.State == SynSent {
		return true
	}
	if s.State != Established && s.State != CloseWait || uintptr(len(info)) < sentAgain+8 {
		return false
	}
	ne := binary.NativeEndian
	onItsWay := uint64(s.SendQueue) - uint64(ne.Uint32(info[notSent:]))
	return ne.Uint64(info[acked:])+onItsWay == ne.Uint64(info[sent:])-ne.Uint64(info[sentAgain:])+1
}
