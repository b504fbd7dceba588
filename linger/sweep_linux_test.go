//go:build linux

package linger

import (
	"context"
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// leaveTimeWait makes n connections that this side closes first.
func (l *listening) leaveTimeWait(t testing.TB, n int) {
	t.Helper()
	before := sockdiagtest.Closed(t, l.addr.Port())
	lingertest.DialEach(t, l.addr, n, func(client *net.TCPConn) {
		conn, err := l.Listener.Accept()
		lingertest.Must(t, err)
		lingertest.Must(t, conn.Close())
		wantWhole(t, client, "")
		lingertest.Must(t, client.Close())
	})
	lingertest.Wait(t, "all are in TIME_WAIT", func() bool { return sockdiagtest.Closed(t, l.addr.Port()) == before+n })
}

// Connections that this side closed just before do not keep the port: as many as a loaded machine can make before the first are through
// with TIME_WAIT, which lasts a minute.
func TestListenerSweep(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	for _, armed := range []bool{false, true} {
		l := trackedOn4(t, ListenConfig{Sweep: true, Armed: armed})
		n := lingertest.Times(500, 5000)
		if armed {
			n = 50
		}
		l.leaveTimeWait(t, n)
		client, _ := l.pair(t)
		rep, err := l.Abort()
		wantAborted(t, rep, err, 1)
		if rep.Swept == nil || *rep.Swept != (Swept{Destroyed: n}) {
			t.Errorf("swept %+v, want %d destroyed", rep.Swept, n)
		}
		wantReset(t, client)
		l.wantFree(t)
	}
}

func TestListenerSweepIsOffByDefault(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	l.leaveTimeWait(t, 1)
	rep, err := l.Abort()
	if err != nil || rep.Swept != nil || rep.Left.Residue != (sockdiag.Counts{sockdiag.TimeWait: 1}) || !rep.Complete() {
		t.Errorf("Abort = %+v, %v, want one TIME_WAIT left", rep, err)
	}
	if err := CheckFree(l.addr); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("CheckFree = %v, want EADDRINUSE", err)
	}
}

// What a drain closes in order is swept too, but not before the client has it all; and nothing of a successor is.
func TestDrainSweeps(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	l := trackedOn4(t, ListenConfig{Sweep: true})
	conns, _ := l.acceptAll(t)
	slow := l.dial(t)
	conn := <-conns
	idle := l.dial(t)
	other := <-conns
	data := make([]byte, 12<<10) // more than the client's window
	_, err := conn.Write(data)
	lingertest.Must(t, err)

	closed := make(chan struct{})
	e := l.drainInBackground(context.Background(), func(context.Context) error {
		defer close(closed)
		return errors.Join(l.Listener.Close(), other.Close(), conn.Close())
	})
	<-closed
	lingertest.Wait(t, "FIN_WAIT1", func() bool { return sockdiagtest.Count(t, l.addr.Port())[sockdiag.FinWait1] == 1 })
	wantWhole(t, idle, "")
	if latch.IsClosed(e.done) {
		t.Error("Drain did not wait for the client")
	}

	successor, err := Listen("tcp", l.addr.String())
	lingertest.Must(t, err)
	heir := l.dial(t)
	served, err := successor.Accept()
	lingertest.Must(t, err)
	gone, err := net.Dial("tcp", l.addr.String())
	lingertest.Must(t, err)
	short, err := successor.Accept()
	lingertest.Must(t, err)
	lingertest.Must(t, short.Close()) // which leaves a FIN_WAIT of the successor

	wantWhole(t, slow, string(data))
	<-e.done
	if e.err != nil || e.rep.Swept == nil || *e.rep.Swept != (Swept{Destroyed: 2}) || e.rep.Left.Residue.Total() != 1 || e.rep.Closed != 2 || !e.rep.Complete() {
		t.Errorf("Drain = %+v, %v, swept %+v, want 2 destroyed, and the successor's left", e.rep, e.err, e.rep.Swept)
	}
	say(t, served, "hello")
	lingertest.Must(t, served.Close())
	wantWhole(t, heir, "hello")
	if n, err := gone.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a client of the successor read %d bytes, %v, want EOF", n, err)
	}
	gone.(*net.TCPConn).SetLinger(0)
	gone.Close()
	_, err = successor.Abort()
	lingertest.Must(t, err)
}

// At the deadline the sweep takes what is left, and the error says so.
func TestDrainSweepsAtDeadline(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	l := trackedOn4(t, ListenConfig{Sweep: true})
	client, conn := l.pair(t)
	go conn.ReadFrom(zeros{})
	lingertest.Wait(t, "a full send buffer", func() bool {
		info, _ := l.infoOf(client)
		return info.SendQueue > 8<<10
	})
	ctx, cancel := context.WithCancel(context.Background())
	e := l.drainInBackground(ctx, func(context.Context) error { return conn.Close() })
	lingertest.Wait(t, "FIN_WAIT1", func() bool { return sockdiagtest.Count(t, l.addr.Port())[sockdiag.FinWait1] == 1 && l.Len() == 0 })
	cancel()
	<-e.done
	if !errors.Is(e.err, context.Canceled) || e.rep.Swept == nil || *e.rep.Swept != (Swept{Destroyed: 1}) || !e.rep.Left.Free() {
		t.Errorf("Drain = %+v, %v, swept %+v, want one destroyed and an error", e.rep, e.err, e.rep.Swept)
	}
	wantReset(t, client)
	l.wantFree(t)
}
