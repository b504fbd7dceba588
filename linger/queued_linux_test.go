//go:build linux

package linger

import (
	"context"
	"fmt"
	"net"
	"testing"

	"rstserver/internal/lingertest"
)

// Who waited in the queue and was reset with it is counted, in every way of letting go. Those who wait in the queue of a socket that
// others hold live on.
func TestQueuedAreCounted(t *testing.T) {
	for name, letGo := range map[string]func(l *Listener) error{
		"Abort":   func(l *Listener) error { _, err := l.Abort(); return err },
		"Drain":   func(l *Listener) error { _, err := l.Drain(context.Background(), nil); return err },
		"Release": (*Listener).Release,
		"Close": func(l *Listener) error {
			err := l.Close()
			l.Abort()
			return err
		},
	} {
		for _, mptcp := range []bool{false, true} {
			for _, shared := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/mptcp=%v/shared=%v", name, mptcp, shared), func(t *testing.T) {
					t.Parallel() // each of them waits
					l := listenTracked(t, ListenConfig{Shared: shared}, families[0].address, mptcp)
					if shared {
						lingertest.HoldElsewhere(t, l.TCPListener)
					}
					_, conn := l.pair(t)
					var waiting []*net.TCPConn
					for range 3 {
						waiting = append(waiting, l.dial(t))
					}
					want := 3
					if shared {
						want = 0
					}
					errs := make(chan error, 1)
					go func() { errs <- letGo(l.Listener) }()
					<-l.refused
					conn.Close() // which a Release and a Drain wait for
					<-l.done
					lingertest.Must(t, <-errs)
					if rep := l.Report(); rep.Queued != want || !rep.Complete() {
						t.Errorf("the report is %s\n%d reset in the queue, want %d", rep, rep.Queued, want)
					}
					for _, c := range waiting {
						if !shared {
							wantReset(t, c)
						} else if _, err := c.Write([]byte("still there")); err != nil {
							t.Errorf("a client in the queue of a shared socket got %v", err)
						}
					}
				})
			}
		}
	}
}
