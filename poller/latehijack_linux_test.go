//go:build linux

package poller

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// The hook for a connection that was hijacked too late may use the handler's ResponseWriter.
func TestHookOfLateHijack(t *testing.T) {
	hooked := make(chan struct{})
	var writer http.ResponseWriter
	srv := &Server{Loops: 1, StuckGrace: time.Hour}
	srv.ConnAborted = func(Conn) {
		writer.Header()
		close(hooked)
	}
	result := make(chan error, 1)
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writer = w
		x := exchangeOf(r)
		onLoop(x.loop, func() { // so that it cannot reset the connection first
			go srv.Close()
			<-x.run.refused
			lingertest.Wait(t, "the hijacked ones are reset", func() bool {
				other, err := net.Dial("tcp", listenAlone(t).Addr().String())
				if err != nil {
					t.Error(err)
					return true
				}
				c, ok := x.run.hijacked.Add(other.(*net.TCPConn), nil)
				c.Close()
				return !ok
			})
			_, _, err := http.NewResponseController(w).Hijack()
			result <- err
		})
	})
	s := start(t, srv)
	s.dial(t).send(getRoot)
	select {
	case <-hooked:
	case <-time.After(lingertest.Patience):
		t.Fatal("the hook waits for the ResponseWriter")
	}
	if err := <-result; !errors.Is(err, errConnGone) {
		t.Errorf("Hijack = %v", err)
	}
}
