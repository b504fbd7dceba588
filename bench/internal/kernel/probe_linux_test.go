//go:build linux

package kernel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// A probe says that a port is free when nothing is left on it, and not before.
func TestProbe(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	port, _ := leave(t, 10)
	ctx, cancel := context.WithTimeout(t.Context(), lingertest.Patience)
	defer cancel()
	got := make(chan Probed, 1)
	began := Now()
	w := &Port{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	go func() { got <- w.Probe(ctx) }()
	destroyed := Now()
	if _, err := Clean(ctx, port, func(sockdiag.Counts) {}); err != nil {
		t.Fatal(err)
	}
	p := <-got
	if p.Err != nil || p.Refused == nil || p.Free == nil {
		t.Fatalf("got %+v", p)
	}
	if p.Refused.At < began || p.Free.At < destroyed || p.Free.Before > p.Free.At || p.Refused.Before > p.Refused.At {
		t.Errorf("began at %s, destroyed from %s on: refused %+v, free %+v", began, destroyed, *p.Refused, *p.Free)
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

// serve accepts connections for the length of a test, and closes each when its client does.
func serve(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

const looks = 100

// The connections of a probe are no sockets of the server's, whoever counts while it connects.
func TestProbeIsNotCounted(t *testing.T) {
	w := &Port{Addr: serve(t)}
	client, err := net.Dial("tcp", w.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// One that stays, so that there is one whenever is counted.
	kept, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ProbeSource.AsSlice()}}).Dial("tcp", w.Addr.String())
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
		dump, err := w.Sockets()
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
	addr, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &Port{Addr: addr}
	stop := beside(t, func() error {
		_, _, err := w.isFree() // or another one has it bound
		return err
	})
	defer stop()
	for range looks {
		dump, err := w.Sockets()
		if err != nil {
			t.Fatal(err)
		}
		if got := dump.Count(); got.Total() > 0 {
			t.Fatalf("counted %s, want nothing", got)
		}
	}
}

// A probe that is told to end looks once more at both, so that it does not depend on when it was last on a processor.
func TestProbeLooksOnceMore(t *testing.T) {
	addr, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := (&Port{Addr: addr}).Probe(ctx)
	if got.Refused == nil || got.Free == nil || got.Resets != 1 || got.Err != nil {
		t.Errorf("got %+v", got)
	}
}

// A server that closes whoever comes, in order or with FIN and then RST, refuses nobody. Of some of these connects the kernel says EPIPE.
func TestProbeOfClosing(t *testing.T) {
	ln, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var closing sync.WaitGroup
	closing.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).CloseWrite()
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	})
	p := &Port{Addr: netip.MustParseAddrPort(ln.Addr().String())}
	var resets int64
	for range 1000 {
		if refused, err := p.refused(&resets); refused || err != nil {
			t.Errorf("refused = %t, %v", refused, err)
			break
		}
	}
	ln.Close()
	closing.Wait()
}
