//go:build linux

package poller

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// A handler whose Hijack came too late hears from its context that the connection is gone.
func TestContextOfLost(t *testing.T) {
	heard := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		onLoop(x.loop, func() { // so that it does not find out first
			_, _ = x.run.table.Abort(x.fd)
			if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, errConnGone) {
				t.Errorf("Hijack = %v", err)
			}
		})
		select {
		case <-r.Context().Done():
			heard <- context.Cause(r.Context())
		case <-time.After(lingertest.Patience):
			heard <- errors.New("nothing")
		}
	})
	c := s.dial(t)
	c.send(getRoot)
	c.wantReset()
	if err := <-heard; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the cause of the context's end is %v", err)
	}
}
