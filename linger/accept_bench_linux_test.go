//go:build linux

package linger

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// BenchmarkAccept is what it costs to accept a connection and to close it: tracked, and by package net alone. The client is bare system
// calls, so that what is allocated is the server's.
//
//	go test -run '^$' -bench 'Accept$' -count 6 ./linger
func BenchmarkAccept(b *testing.B) {
	for _, kind := range acceptKinds {
		b.Run(kind.name, func(b *testing.B) {
			s := listen(b, families[0])
			ln := kind.wrap(b, s.TCPListener)
			b.ReportAllocs()
			for b.Loop() {
				client := connectBare(b, s)
				c, err := ln.Accept()
				lingertest.Must(b, err)
				lingertest.Must(b, unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
				lingertest.Must(b, unix.Close(client))
				lingertest.Must(b, c.Close())
			}
		})
	}
}

// BenchmarkHeld is how much memory of Go's heap connections take that are open.
//
//	go test -run '^$' -bench 'Held$' -benchtime 1x -count 6 ./linger
func BenchmarkHeld(b *testing.B) {
	const connections = 5000
	for _, kind := range acceptKinds {
		b.Run(kind.name, func(b *testing.B) {
			s := listen(b, families[0])
			ln := kind.wrap(b, s.TCPListener)
			conns := make([]net.Conn, 0, connections)
			clients := make([]int, 0, connections)
			defer func() {
				for i, client := range clients {
					unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
					unix.Close(client)
					conns[i].Close()
				}
			}()
			before := inUse()
			for range connections {
				clients = append(clients, connectBare(b, s))
				c, err := ln.Accept()
				lingertest.Must(b, err)
				conns = append(conns, c)
			}
			after := inUse()
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/connections, "heap-B/conn")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var acceptKinds = []struct {
	name string
	wrap func(testing.TB, net.Listener) net.Listener
}{
	{"bare", func(_ testing.TB, ln net.Listener) net.Listener { return ln }},
	{"tracked", func(b testing.TB, ln net.Listener) net.Listener { return wrapped(b, ListenConfig{}, ln) }},
}

func inUse() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

func connectBare(b *testing.B, s *server) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(b, err)
	lingertest.Must(b, unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.addr.Port()), Addr: s.addr.Addr().As4()}))
	return fd
}
