//go:build linux

package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// A probe says that a port is free when nothing is left on it, and not before.
func TestProbe(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	port := leave(t, 10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := make(chan probed, 1)
	began := now()
	w := &watched{addr: localPort(int(port))}
	go func() { got <- w.probe(ctx) }()
	destroyed := now()
	if _, err := clean(ctx, port, func(sockdiag.Counts) {}); err != nil {
		t.Fatal(err)
	}
	p := <-got
	if p.err != nil || p.refused == nil || p.free == nil {
		t.Fatalf("got %+v", p)
	}
	if p.refused.At < began || p.free.At < destroyed || p.free.Before > p.free.At || p.refused.Before > p.refused.At {
		t.Errorf("began at %s, destroyed from %s on: refused %+v, free %+v", began, destroyed, *p.refused, *p.free)
	}
}

// beside calls f again and again on goroutines of their own until the function that it returns is called, which waits for them.
func beside(t *testing.T, f func() error) (stop func()) {
	t.Helper()
	var over, running sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		running.Add(1)
		over.Go(func() {
			for first := true; ; first = false {
				err := f()
				if first {
					running.Done()
				}
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	running.Wait()
	return func() {
		close(done)
		over.Wait()
	}
}

const looks = 100

// The connections of a probe are no sockets of the server's, whoever counts while it connects.
func TestProbeIsNotCounted(t *testing.T) {
	p := run(t, faulty("none"), io.Discard)
	f, err := open(p.Addr, All(1, Idle))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &watched{addr: p.Addr}
	// One that stays, so that there is one whenever is counted.
	kept, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: sourceAddr(probeSource).AsSlice()}}).Dial("tcp", p.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	_ = kept.(*net.TCPConn).SetLinger(0)
	stop := beside(t, func() error {
		var sent int64
		if refused, err := w.refused(&sent); refused || err != nil {
			return errors.Join(err, errors.New("it was refused, or failed"))
		}
		return nil
	})
	defer stop()
	want := sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}
	for range looks {
		dump, err := w.sockets()
		if err != nil {
			t.Fatal(err)
		}
		if got := dump.Count(); got != want {
			t.Fatalf("counted %s, want %s", got, want)
		}
	}
}

// Nor is the socket that a probe binds for a moment.
func TestBindIsNotCounted(t *testing.T) {
	addr, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{addr: addr}
	stop := beside(t, func() error {
		_, _, err := w.isFree() // or another one has it bound
		return err
	})
	defer stop()
	for range looks {
		dump, err := w.sockets()
		if err != nil {
			t.Fatal(err)
		}
		if got := dump.Count(); got.Total() > 0 {
			t.Fatalf("counted %s, want nothing", got)
		}
	}
}

// The resets that a probe causes are not counted either.
func TestProbeResets(t *testing.T) {
	if !elsewhere(t, func() error { return lingertest.Network(nil) }) { // where nobody else sends any
		return
	}
	const n = 10
	for fault, want := range map[string]int64{"stubborn": 0, "none": n} {
		t.Run(fault, func(t *testing.T) {
			r := Run{Server: faulty(fault), Mix: All(n, Idle), Timeout: patience}
			if fault == "stubborn" {
				r.Server.overdue, r.Stderr = onLine()
			}
			rep, _ := measure(t, r)
			if rep.At.IsZero() || rep.Kernel[resets] != want || rep.Kernel["TCPAbortOnData"] != want {
				t.Errorf("counted %v, want %d resets", rep.Kernel, want)
			}
		})
	}
}

// A probe that is told to end looks once more at both, so that it does not depend on when it was last on a processor.
func TestProbeLooksOnceMore(t *testing.T) {
	addr, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := (&watched{addr: addr}).probe(ctx)
	if got.refused == nil || got.free == nil || got.resets != 1 || got.err != nil {
		t.Errorf("got %+v", got)
	}
}
