//go:build linux

package poller

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// A HandOver is a Shutdown without a delay, with a lame duck in any case, and has a mode of its own.
func TestHandOver(t *testing.T) {
	s := start(t, &Server{Handler: newGate(), Delay: time.Hour, ExitAfterClose: true})
	if DefaultLameDuck <= 0 {
		t.Fatal("there is no lame duck")
	}
	clients := idleConnections(t, s, 3)
	result := make(chan error, 1)
	began := time.Now()
	go func() { result <- s.HandOver(context.Background()) }()
	<-s.run.settled
	clients[0].wantLast("as a lame duck")
	if rep := s.Report(); rep.Mode != linger.ModeHandover || !strings.HasPrefix(rep.String(), "handed over "+rep.Address+":") {
		t.Errorf("the report at work has the mode %q: %s", rep.Mode, rep)
	}
	if err := wait(t, "HandOver", result); err != nil {
		t.Errorf("HandOver = %v", err)
	}
	if took := time.Since(began); took < DefaultLameDuck {
		t.Errorf("it was over after %s, before the end of the lame duck", took)
	}
	clients[1].wantReset()
	clients[2].wantReset()
	if rep := s.Report(); rep.Mode != linger.ModeHandover || !strings.HasPrefix(rep.String(), "teardown of "+rep.Address+" by handover:") {
		t.Errorf("the report has the mode %q: %s", rep.Mode, rep)
	}
	s.assertGone(t) // with every goroutine and descriptor: ExitAfterClose has no effect
}

// A lame duck that is asked for is taken, and the end of the context cuts it short.
func TestHandOverCutShort(t *testing.T) {
	for name, cut := range map[string]func(s *Server, cancel func()) error{
		"context": func(s *Server, cancel func()) error { cancel(); return context.Canceled },
		"Close":   func(s *Server, cancel func()) error { s.Close(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &Server{Handler: newGate(), LameDuck: time.Hour})
			client := idleConnections(t, s, 1)[0]
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- s.HandOver(ctx) }()
			<-s.run.settled
			want := cut(s.Server, cancel)
			if err := wait(t, "HandOver", result); err != want {
				t.Errorf("HandOver = %v, want %v", err, want)
			}
			client.wantReset()
			if rep := s.Report(); rep.Mode != linger.ModeHandover || rep.AtDeadline.Total()+rep.ByAbort.Total() != 1 || rep.ByAbort.Total() == 1 != (name == "Close") {
				t.Errorf("report = %+v, want a handover that was cut short", rep)
			}
			s.assertGone(t)
		})
	}
}

// Nobody is accepted before Ready has returned, and nobody at all if it fails.
func TestReady(t *testing.T) {
	failure := errors.New("not this time")
	for _, want := range []error{nil, failure} {
		ready, goOn := make(chan bool), make(chan bool)
		ln := listenAlone(t)
		srv := &Server{Loops: 2, LoopHandler: LoopHandlerFunc(hello), Ready: func() error {
			ready <- true
			<-goOn
			return want
		}}
		result := make(chan error, 1)
		go func() { result <- srv.Serve(ln) }()
		<-ready
		c := lingertest.Dial(t, net.Dialer{}, srv.ListenerAddr())
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		// Time enough for a loop that accepts: a lookout has looked by then.
		time.Sleep(5 * leastLookout)
		if n := srv.run.port.Accepts(); n != 0 {
			t.Errorf("accepted before it was ready: %d", n)
		}
		goOn <- true
		b := make([]byte, 8)
		n, err := c.Read(b)
		if want == nil && string(b[:n]) != "HTTP/1.1" || want != nil && err == nil {
			t.Errorf("Ready = %v, and the client read %q, %v", want, b[:n], err)
		}
		if want == nil {
			lingertest.Must(t, srv.Ping(context.Background()))
			lingertest.Must(t, srv.Close())
		}
		if err := wait(t, "Serve", result); want != nil && !errors.Is(err, want) || want == nil && err != ErrServerClosed {
			t.Errorf("Serve = %v", err)
		}
		_ = c.Close()
	}
}

// Ping says which loop a handler blocks.
func TestPing(t *testing.T) {
	var srv Server
	lingertest.Must(t, srv.Ping(context.Background()))
	goOn := make(chan bool)
	entered := make(chan bool)
	s := start(t, &Server{Loops: 1, StuckGrace: time.Hour, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		entered <- true
		<-goOn
	})})
	lingertest.Must(t, s.Ping(context.Background()))
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "event loop 0") {
		t.Errorf("Ping of a blocked loop = %v", err)
	}
	goOn <- true
	lingertest.Must(t, s.Ping(context.Background()))
	lingertest.Must(t, s.Close())
	lingertest.Must(t, s.Ping(context.Background()))
}

// A client for whom the kernel has woken a server that does not accept is not stranded: another that shares the socket finds it.
func TestSharedIsNotStranded(t *testing.T) {
	ln := listenAlone(t)
	f, err := ln.(*net.TCPListener).File()
	lingertest.Must(t, err)
	other, err := net.FileListener(f)
	lingertest.Must(t, err)
	lingertest.Must(t, f.Close())

	// One whose only loop is stuck as soon as it has accepted; it waits for the socket first, so the kernel wakes it first.
	goOn, entered := make(chan bool), make(chan bool, 100)
	stuck := startOn(t, &Server{Loops: 1, Shared: true, StuckGrace: time.Hour, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		entered <- true
		<-goOn
	})}, ln)
	held := stuck.dial(t)
	held.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	well := startOn(t, &Server{Loops: 2, Shared: true, LoopHandler: LoopHandlerFunc(hello)}, other)
	for range 20 {
		c := well.dial(t)
		c.get("/")
		_ = c.Close()
	}
	goOn <- true
	held.answer("GET")
	lingertest.Must(t, stuck.Close())
	if err := stuck.wait(t); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve = %v", err)
	}
	lingertest.Must(t, well.Close())
	well.assertGone(t)
}
