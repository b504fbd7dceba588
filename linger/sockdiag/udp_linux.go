//go:build linux

package sockdiag

import "fmt"

// procUDPFiles are tables of the same form, in which the only states are CLOSE, and ESTABLISHED after connect(2).
var procUDPFiles = [...]string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"}

// UDP returns the UDP sockets whose local port is port, which is another port than TCP's of that number. They come from /proc, with what
// that tells of a socket. The error says that it cannot be read. Any goroutine may call it.
func UDP(port uint16) (Dump, error) {
	d := Dump{Source: FromProc}
	err := kernel.proc(procUDPFiles, ports{port}, func(s *Socket) bool {
		d.Sockets = append(d.Sockets, *s)
		return true
	})
	if err != nil {
		return Dump{}, fmt.Errorf("sockdiag: UDP sockets of port %d: %w", port, err)
	}
	return d, nil
}
