//go:build linux

package linger

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// A child that holds the listening socket makes every way of letting go incomplete, and is named, unless it was announced. Clients can
// still connect.
func TestChildHoldsTheListener(t *testing.T) {
	for name, letGo := range map[string]func(l *Listener) error{
		"Abort":   func(l *Listener) error { _, err := l.Abort(); return err },
		"Drain":   func(l *Listener) error { _, err := l.Drain(context.Background(), nil); return err },
		"Release": (*Listener).Release,
		"AbortAll": func(l *Listener) error {
			_, err := AbortAll(l)
			return err
		},
	} {
		for _, mptcp := range []bool{false, true} {
			for _, shared := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/mptcp=%v/shared=%v", name, mptcp, shared), func(t *testing.T) {
					t.Parallel() // each of them waits
					l := listenTracked(t, ListenConfig{Shared: shared}, families[0].address, mptcp)
					who, release := lingertest.HoldElsewhere(t, l.TCPListener)
					err := letGo(l.Listener)
					<-l.done // the end of a Release without connections
					rep := l.Report()
					l.dial(t)
					want := sockdiag.Counts{sockdiag.Listen: 1}
					if shared {
						if err != nil || !rep.Complete() || rep.Left.Others[sockdiag.Listen] != 1 || rep.Left.Unowned.Total() > 0 || rep.Left.Holders != nil {
							t.Errorf("the end is %v, %s\nwant a listening socket of others", err, rep)
						}
					} else {
						lingertest.ExpectError(t, err, who, "LISTEN 1")
						if rep.Complete() || rep.Left.Free() || rep.Left.Unowned != want || rep.Left.Others[sockdiag.Listen] > 0 || rep.Left.Hidden > 0 {
							t.Errorf("the end is %s\nwant an unowned listening socket", rep)
						}
						if text := strings.Join(strings.Fields(rep.String()), " "); !strings.Contains(text, "left, unowned LISTEN 1, held by "+who) {
							t.Errorf("the report does not name %s:\n%s", who, rep)
						}
					}
					release()
					lingertest.Wait(t, "the socket is gone with its last holder", func() bool { return CheckFree(l.addr) == nil })
				})
			}
		}
	}
}

// A holder that may not be looked into is one all the same.
func TestHiddenHolder(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	_, release := lingertest.HoldElsewhere(t, l.TCPListener)
	var rep Report
	var err error
	lingertest.AsNobody(t, func() { rep, err = l.Abort() })
	lingertest.ExpectError(t, err, "LISTEN 1", "a process that cannot be seen from here")
	if rep.Complete() || rep.Left.Hidden != 1 {
		t.Errorf("Abort = %s, want a hidden holder", rep)
	}
	release()
}
