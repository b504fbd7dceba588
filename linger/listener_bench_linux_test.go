//go:build linux

package linger

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// BenchmarkListener compares a Listener with the bare listener below it. The kinds take turns within each benchmark, so that
// what the machine does meanwhile concerns all of them alike, and the medians of all turns are reported.
//
//	go test -run '^$' -bench 'Listener$' -benchtime 300x ./linger
func BenchmarkListener(b *testing.B) {
	kinds := []struct {
		name string
		wrap func(net.Listener) net.Listener
	}{
		{"bare", func(ln net.Listener) net.Listener { return ln }},
		{"tracked", func(ln net.Listener) net.Listener { return wrapped(b, ListenConfig{}, ln) }},
		{"armed", func(ln net.Listener) net.Listener { return wrapped(b, ListenConfig{Armed: true}, ln) }},
	}
	alternate := func(b *testing.B, each int, turn func(kind int)) {
		times := make([][]time.Duration, len(kinds))
		for i := range b.N {
			for k := range kinds {
				kind := (i + k) % len(kinds)
				began := time.Now()
				turn(kind)
				times[kind] = append(times[kind], time.Since(began)/time.Duration(each))
			}
		}
		for k, kind := range kinds {
			slices.Sort(times[k])
			b.ReportMetric(float64(times[k][len(times[k])/2].Nanoseconds()), kind.name+"-ns")
		}
		b.ReportMetric(0, "ns/op") // which would mix the kinds
	}
	addresses := make([]string, len(kinds))
	for i, kind := range kinds {
		s := listen(b, families[0])
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })}
		go srv.Serve(kind.wrap(s.TCPListener))
		defer srv.Close()
		addresses[i] = s.addr.String()
	}
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	roundTrip := func(c net.Conn, r *bufio.Reader) {
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	dial := func(address string) *net.TCPConn {
		c, err := net.Dial("tcp", address)
		lingertest.Must(b, err)
		lingertest.Must(b, c.(*net.TCPConn).SetLinger(0))
		return c.(*net.TCPConn)
	}
	b.Run("request", func(b *testing.B) {
		const each = 500
		conns := make([]net.Conn, len(kinds))
		readers := make([]*bufio.Reader, len(kinds))
		for k := range kinds {
			conns[k] = dial(addresses[k])
			defer conns[k].Close()
			readers[k] = bufio.NewReader(conns[k])
		}
		alternate(b, each, func(k int) {
			for range each {
				roundTrip(conns[k], readers[k])
			}
		})
	})
	b.Run("connection", func(b *testing.B) {
		const each = 50
		alternate(b, each, func(k int) {
			for range each {
				c := dial(addresses[k])
				roundTrip(c, bufio.NewReader(c))
				c.Close()
			}
		})
	})
}

func wrapped(t testing.TB, config ListenConfig, ln net.Listener) *Listener {
	t.Helper()
	l, err := config.Wrap(ln)
	lingertest.Must(t, err)
	return l
}

// BenchmarkListenerAbort is the time from the call until the port is free, with connections of net/http that are idle, and the same by
// the hand-written way: a map of connections, SetLinger(0) and Close.
//
//	go test -run '^$' -bench 'ListenerAbort$' -benchtime 15x ./linger
func BenchmarkListenerAbort(b *testing.B) {
	const connections = 9000
	ways := []string{"Listener", "map"}
	times := make(map[string][]time.Duration)
	for range b.N {
		for _, way := range ways {
			times[way] = append(times[way], timeAbort(b, way == "map", connections))
		}
	}
	for _, way := range ways {
		slices.Sort(times[way])
		b.ReportMetric(float64(times[way][len(times[way])/2].Microseconds())/1e3, strings.ToLower(way)+"-ms")
	}
	b.ReportMetric(0, "ns/op")
}

func timeAbort(b *testing.B, byHand bool, connections int) time.Duration {
	s := listen(b, families[0])
	defer s.Close()
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	idle := 0
	srv := &http.Server{ConnState: func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			conns[c] = true
		case http.StateIdle:
			idle++
		case http.StateClosed:
			delete(conns, c)
		}
	}}
	l := wrapped(b, ListenConfig{}, s.TCPListener)
	var ln net.Listener = l
	if byHand {
		ln = s.TCPListener
	}
	go srv.Serve(ln)
	defer srv.Close()
	var clients []int
	defer func() {
		for _, fd := range clients {
			unix.Close(fd)
		}
	}()
	for range connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		lingertest.Must(b, err)
		clients = append(clients, fd)
		lingertest.Must(b, unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.addr.Port()), Addr: s.addr.Addr().As4()}))
		_, err = unix.Write(fd, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		lingertest.Must(b, err)
	}
	for {
		mu.Lock()
		n := idle
		mu.Unlock()
		if n == connections {
			break
		}
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if !byHand {
		rep, err := l.Abort()
		if err != nil || rep.Connections.Total() != connections || !rep.Left.Free() {
			b.Fatal(rep, err)
		}
		return rep.Steps.PortFree
	}
	s.Close()
	mu.Lock()
	all := make([]net.Conn, 0, len(conns))
	for c := range conns {
		all = append(all, c)
	}
	mu.Unlock()
	for _, c := range all {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	took := time.Since(began)
	if err := CheckFree(s.addr); err != nil {
		b.Fatal(err)
	}
	return took
}
