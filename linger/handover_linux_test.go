//go:build linux

package linger

import (
	"context"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// A HandOver has no delay, and a lame duck in any case; when that is over, idle connections are reset before the server is told to stop.
func TestHandOver(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Delay: time.Hour, LameDuck: time.Millisecond, Idle: 1})
	conns, _ := l.acceptAll(t)
	client := l.dial(t)
	server := <-conns
	_, err := client.Write([]byte("x"))
	lingertest.Must(t, err)
	_, err = server.Read(make([]byte, 10)) // whoever has something unread is not idle
	lingertest.Must(t, err)
	_, err = server.Write([]byte("y"))
	lingertest.Must(t, err)
	_, err = client.Read(make([]byte, 1))
	lingertest.Must(t, err)
	// By the kernel's clock, which has ticks, and not before the client has acknowledged what it was sent.
	lingertest.Wait(t, "the connection is idle", func() bool {
		for c := range l.All() {
			return c.Idle() > 0 && c.SendQueue == 0
		}
		return false
	})
	left := -1
	rep, err := l.HandOver(context.Background(), func(context.Context) error { left = l.Len(); return nil })
	if err != nil || rep.Mode != ModeHandover || !rep.Complete() || rep.AtDeadline.Total() != 0 {
		t.Errorf("HandOver = %+v, %v", rep, err)
	}
	if left != 0 {
		t.Errorf("idle connections when the server is told to stop = %d, want 0", left)
	}
	wantReset(t, client)
	l.wantFree(t)

	if l := trackedOn4(t, ListenConfig{}); DefaultLameDuck <= 0 {
		l.acceptAll(t)
	} else {
		began := time.Now()
		l.acceptAll(t)
		client := l.dial(t)
		lingertest.Wait(t, "a connection", func() bool { return l.Len() == 1 })
		_, err := l.HandOver(context.Background(), func(context.Context) error { client.Close(); return nil })
		if took := time.Since(began); took < DefaultLameDuck {
			t.Errorf("HandOver = %v after %s, before the lame duck had ended", err, took)
		}
		_, _ = l.Abort()
	}
}
