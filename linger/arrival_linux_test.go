//go:build linux

package linger

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// answered reports whether c gets an answer.
func answered(c net.Conn) bool {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusNoContent
}

// Requests that waited in the queue with their connections are answered, although net/http drops what it reads once its Shutdown was
// called.
func TestDrainBeginsWhatWasQueued(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(srv *http.Server, l net.Listener) error
		// begin sends a request as soon as it can.
		begin func(c net.Conn, trusting *tls.Config) (net.Conn, error)
		n     int
		queue time.Duration
	}{
		{"HTTP", (*http.Server).Serve, func(c net.Conn, _ *tls.Config) (net.Conn, error) {
			_, err := io.WriteString(c, request)
			return c, err
		}, 200, lingertest.Patience},
		{"TLS", func(srv *http.Server, l net.Listener) error { return srv.ServeTLS(l, "", "") }, func(c net.Conn, trusting *tls.Config) (net.Conn, error) {
			conn := tls.Client(c, trusting)
			_, err := io.WriteString(conn, request)
			return conn, err
		}, 20, 10 * time.Second}, // a part of which is waited
	} {
		t.Run(tt.name, func(t *testing.T) {
			config, trusting := selfSigned(t)
			l := trackedOn4(t, ListenConfig{Queue: tt.queue})
			var clients sync.WaitGroup
			var dialled sync.WaitGroup
			lost := make(chan int, tt.n)
			for i := range tt.n {
				dialled.Add(1)
				clients.Go(func() {
					c := l.dial(t)
					dialled.Done()
					conn, err := tt.begin(c, trusting)
					if err != nil || !answered(conn) {
						lost <- i
					}
				})
			}
			dialled.Wait()
			srv := &http.Server{
				Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
				TLSConfig: config,
			}
			serving := make(chan error, 1)
			go func() { serving <- tt.serve(srv, l.Listener) }()
			lingertest.Wait(t, "an Accept", func() bool { return l.accepting.Load() == 1 || l.accepts.Load() > 0 })
			if rep, err := l.Drain(context.Background(), srv.Shutdown); err != nil || !rep.Complete() {
				t.Errorf("Drain = %s, %v", rep, err)
			}
			clients.Wait()
			if len(lost) > 0 {
				t.Errorf("%d of %d requests got no answer", len(lost), tt.n)
			}
			<-serving
		})
	}
}

// Connections that have never carried anything do not hold net/http's Shutdown up, which waits for them for five seconds.
func TestDrainEndsSilent(t *testing.T) {
	for _, age := range []time.Duration{0, time.Hour} {
		l := trackedOn4(t, ListenConfig{Queue: 10 * time.Millisecond})
		srv := &http.Server{}
		serving := make(chan error, 1)
		go func() { serving <- srv.Serve(l.Listener) }()
		clients := []*net.TCPConn{l.dial(t), l.dial(t)}
		lingertest.Wait(t, "two connections", func() bool { return l.Len() == 2 })
		for _, e := range l.conns.snapshot() {
			lingertest.Wait(t, "the server reads", func() bool { return e.reads.Load()&runningMask == 1 })
			e.accepted -= int64(age)
		}
		rep, err := l.Drain(context.Background(), srv.Shutdown)
		if want := (Tally{Open: 2}); err != nil || rep.Connections != want || rep.AtDeadline.Total() != 0 || rep.Closed != 0 || !rep.Complete() {
			t.Errorf("Drain = %s, %v, want two reset with nothing in flight", rep, err)
		}
		for _, client := range clients {
			wantReset(t, client)
		}
		l.wantFree(t)
		<-serving
	}
}

// A server that speaks first, or whose reads nobody sees, is not waited for, and keeps its connections.
func TestDrainLeavesOtherSilence(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(c net.Conn) // on the server's side
	}{
		{"nobody reads", func(net.Conn) {}},
		{"the server has spoken", func(c net.Conn) {
			_, _ = io.WriteString(c, "220 ready\r\n")
			go func() { _, _ = c.Read(make([]byte, 1)) }()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := trackedOn4(t, ListenConfig{Queue: time.Millisecond})
			client, conn := l.pair(t)
			tt.begin(conn)
			called := make(chan bool, 1)
			e := l.drainInBackground(context.Background(), func(context.Context) error { called <- true; return nil })
			<-called
			if n := l.Len(); n != 1 {
				t.Errorf("%d connections are left, want 1", n)
			}
			say(t, conn, "bye")
			lingertest.Must(t, conn.Close())
			<-e.done
			if e.err != nil || e.rep.Closed != 1 {
				t.Errorf("Drain = %s, %v, want one closed in order", e.rep, e.err)
			}
			if data, err := end(client); err != nil || data[len(data)-3:] != "bye" {
				t.Errorf("the client read %q, %v", data, err)
			}
		})
	}
}
