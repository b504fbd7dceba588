//go:build linux

package poller

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
)

// A handler that has hijacked its connection hears of a teardown from its context also where the loop that had it is stuck.
func TestHijackedOfStuckLoop(t *testing.T) {
	hijacked, stuck, goOn := make(chan error, 1), make(chan struct{}), make(chan struct{})
	heard := make(chan error, 1)
	s := start(t, &Server{Loops: 1, StuckGrace: 30 * time.Millisecond,
		OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) != "/handler" },
		LoopHandler: LoopHandlerFunc(func(*Responder, *Request) {
			close(stuck)
			<-goOn
		}),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			hijacked <- err
			if err != nil {
				return
			}
			defer c.Close()
			select {
			case <-r.Context().Done():
				heard <- context.Cause(r.Context())
			case <-time.After(lingertest.Patience):
				heard <- errors.New("nothing")
			}
		})})
	s.dial(t).send(getWorld)
	if err := <-hijacked; err != nil {
		t.Fatal(err)
	}
	s.dial(t).send(getRoot)
	<-stuck
	go s.Close()
	if err := <-heard; !errors.Is(err, ErrServerClosed) {
		t.Errorf("the cause of the context's end is %v", err)
	}
	close(goOn)
}
