//go:build linux

package linger

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// All are reset and verified by the same look, whatever each was doing before.
func TestAbortAll(t *testing.T) {
	const each = 3
	var all []*listening
	var clients []*net.TCPConn
	for range 4 {
		for _, f := range families {
			all = append(all, listenTracked(t, ListenConfig{}, f.address, false))
		}
	}
	all = append(all, listenTracked(t, ListenConfig{Armed: true}, families[0].address, true))
	var listeners []*Listener
	for _, l := range all {
		for range each {
			client, _ := l.pair(t)
			clients = append(clients, client)
		}
		listeners = append(listeners, l.Listener)
	}
	lingertest.Must(t, listeners[1].Release())
	lingertest.Must(t, listeners[2].Close())
	reports, err := AbortAll(listeners...)
	lingertest.Must(t, err)
	if len(reports) != len(listeners) {
		t.Fatalf("%d reports of %d listeners", len(reports), len(listeners))
	}
	verified := func(rep Report) time.Time { return rep.Started.Add(rep.Steps.Verified) }
	for i, rep := range reports {
		if rep.Address != listeners[i].Addr().String() {
			t.Errorf("report %d is of %s, want %s", i, rep.Address, listeners[i].Addr())
		}
		wantAborted(t, rep, nil, each)
		if !verified(rep).Equal(verified(reports[0])) {
			t.Errorf("report %d was verified at %s, the first at %s", i, verified(rep), verified(reports[0]))
		}
		all[i].wantFree(t)
	}
	for _, c := range clients {
		wantReset(t, c)
	}
	again, err := AbortAll(listeners...)
	lingertest.Must(t, err)
	for i, rep := range again {
		if rep.Steps != reports[i].Steps {
			t.Errorf("the second time report %d is %s, want what it was", i, rep)
		}
	}
}

// What is wrong with one is said of that one, and the others are as they would be without it.
func TestAbortAllWithAFault(t *testing.T) {
	good, bad := trackedOn4(t, ListenConfig{}), trackedOn4(t, ListenConfig{})
	f, err := bad.File()
	lingertest.Must(t, err)
	defer f.Close()
	unixOne, err := Listen("unix", filepath.Join(t.TempDir(), "socket"))
	lingertest.Must(t, err)
	client, _ := good.pair(t)
	reports, err := AbortAll(bad.Listener, good.Listener, unixOne, bad.Listener)
	lingertest.ExpectError(t, err, bad.Addr().String()+": linger: 1 socket", "LISTEN 1", unixOne.Addr().String()+": linger: not a TCP listener")
	if !errors.Is(err, ErrNotTCP) || strings.Contains(err.Error(), good.Addr().String()) {
		t.Errorf("AbortAll = %v", err)
	}
	wantAborted(t, reports[1], nil, 1)
	wantReset(t, client)
	if want := (sockdiag.Counts{sockdiag.Listen: 1}); reports[0].Left.Unowned != want || reports[3].Left.Unowned != want || reports[2].Unverified == "" {
		t.Errorf("the reports are %v", reports)
	}
	if reports, err := AbortAll(); len(reports) > 0 || err != nil {
		t.Errorf("AbortAll of nothing = %v, %v", reports, err)
	}
}

// Listeners that share a port do not take each other's for their own, nor for nobody's.
func TestAbortAllOnOnePort(t *testing.T) {
	a := trackedOn4(t, ListenConfig{})
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	below, err := lc.Listen(context.Background(), "tcp", strings.Replace(a.addr.String(), "127.0.0.1", "127.0.0.2", 1))
	lingertest.Must(t, err)
	b, err := Wrap(below)
	lingertest.Must(t, err)
	ofA, _ := a.pair(t)
	ofB, err := net.Dial("tcp", b.Addr().String())
	lingertest.Must(t, err)
	defer ofB.Close()
	c, err := b.Accept()
	lingertest.Must(t, err)
	defer c.Close()
	reports, err := AbortAll(a.Listener, b)
	for _, rep := range reports {
		wantAborted(t, rep, err, 1)
	}
	wantReset(t, ofA)
	if _, err := ofB.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the client read %v, want ECONNRESET", err)
	}
}

// Calls of all kinds at the same time end each Listener once.
func TestAbortAllConcurrently(t *testing.T) {
	var all []*Listener
	for range 20 {
		l := trackedOn4(t, ListenConfig{})
		l.pair(t)
		all = append(all, l.Listener)
	}
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			reports, err := AbortAll(all...)
			for _, rep := range reports {
				wantAborted(t, rep, err, 1)
			}
		})
		for _, l := range all[:5] {
			calls.Go(func() {
				rep, err := l.Abort()
				wantAborted(t, rep, err, 1)
			})
		}
	}
	calls.Wait()
}

// What each Listener's ordinary closes have left is swept as its own. One that has given up its port before does not take what has
// come there since, which is a successor's.
func TestAbortAllSweeps(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	var all []*Listener
	left := []int{3, 1, 2}
	for _, n := range left {
		l := trackedOn4(t, ListenConfig{Sweep: true})
		l.leaveTimeWait(t, n)
		all = append(all, l.Listener)
	}
	given := trackedOn4(t, ListenConfig{Sweep: true})
	lingertest.Must(t, given.Listener.Close())
	successor := &listening{server: listenWith(t, given.addr.String(), false)}
	var err error
	successor.Listener, err = Wrap(successor.TCPListener)
	lingertest.Must(t, err)
	successor.leaveTimeWait(t, 4)

	reports, err := AbortAll(append(all, given.Listener)...)
	lingertest.Must(t, err)
	for i, n := range append(left, 0) {
		if got := reports[i].Swept; got == nil || *got != (Swept{Destroyed: n}) {
			t.Errorf("report %d: swept %+v, want %d destroyed", i, got, n)
		}
	}
	if got := reports[3].Left.Residue[sockdiag.TimeWait]; got != 4 {
		t.Errorf("%d connections of the successor are left in TIME_WAIT, want 4", got)
	}
}
