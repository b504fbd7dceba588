//go:build !linux

package linger

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func listenOther(t *testing.T) *Listener {
	t.Helper()
	l, err := Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A server answers, and Abort closes and says that it could do no more.
func TestOtherAbort(t *testing.T) {
	l := listenOther(t)
	serving := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				serving <- err
				return
			}
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(c); string(said) != "hello" || err != nil {
		t.Errorf("the client read %q, %v", said, err)
	}
	rep, err := l.Abort()
	if !errors.Is(err, errors.ErrUnsupported) || rep.Unverified == "" || rep.Complete() || rep.Mode != ModeAbort || rep.String() == "" {
		t.Errorf("Abort = %s, %v, want one that is not verified, and an error that wraps ErrUnsupported", rep, err)
	}
	if err := <-serving; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v", err)
	}
	if again, err2 := l.Abort(); again.Steps != rep.Steps || err2 != err {
		t.Errorf("a second Abort = %s, %v", again, err2)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

// Drain closes the listener and calls the server's stop.
func TestOtherDrain(t *testing.T) {
	l := listenOther(t)
	srv := &http.Server{}
	serving := make(chan error, 1)
	go func() { serving <- srv.Serve(l) }()
	rep, err := l.Drain(context.Background(), srv.Shutdown)
	if err != nil || rep.Mode != ModeDrain || rep.Unverified == "" || rep.Complete() {
		t.Errorf("Drain = %s, %v, want one that is not verified", rep, err)
	}
	if err := <-serving; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v", err)
	}

	failed := errors.New("failed")
	if _, err := listenOther(t).Drain(context.Background(), func(context.Context) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Drain = %v, want what the stop returned", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := listenOther(t).Drain(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain = %v, want context.DeadlineExceeded", err)
	}
}

// Release closes; Drain or Abort may follow.
func TestOtherRelease(t *testing.T) {
	l := listenOther(t)
	if err := errors.Join(l.Release(), l.Release()); err != nil {
		t.Errorf("Release = %v", err)
	}
	if _, err := l.Abort(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Abort = %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestOtherWrap(t *testing.T) {
	l := listenOther(t)
	for _, err := range []error{
		second(Wrap(nil)), second(Wrap(l)), second(ListenConfig{Spread: -1}.Wrap(l.NetListener())),
		second(ListenConfig{Delay: -1}.Listen(context.Background(), "tcp", "127.0.0.1:0")),
	} {
		if err == nil {
			t.Error("there is no error")
		}
	}
	if l.Len() != 0 || l.AbortIf(func(ConnInfo) bool { return true }) != 0 {
		t.Error("connections are known")
	}
	for range l.All() {
		t.Error("connections are known")
	}
	_ = l.Close()
	for _, err := range []error{Arm(0), Disarm(0), Abort(0), second(Armed(0)), second(Cookie(0)), second(Verify(Ending{Port: 1})), second(AbortAll(listenOther(t)))} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want an error that wraps ErrUnsupported", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// The set of connections works, as far as the system knows how to end them.
func TestOtherConns(t *testing.T) {
	l := listenOther(t)
	defer l.Close()
	var set Conns
	closed := make(chan bool, 3)
	for range 2 {
		go net.Dial("tcp", l.Addr().String())
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := set.Add(c.(*net.TCPConn), func(aborted bool) { closed <- aborted }); !ok || set.Len() == 0 {
			t.Error("a connection was not added")
		}
	}
	if sweep := set.AbortAll(Hijacked); sweep.Aborted != (Tally{Hijacked: 2}) || set.Len() != 0 || !<-closed || !<-closed {
		t.Errorf("AbortAll = %v", sweep)
	}
}
