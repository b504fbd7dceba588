//go:build linux

package poller

import (
	"net/http"
	"testing"

	"rstserver/httpcodec"
)

// Without keep-alives idle connections are closed, the next answer of every other one is its last, and new ones have one.
func TestSetKeepAlivesEnabled(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	s := start(t, &Server{
		LoopHandler: LoopHandlerFunc(hello),
		OnLoop:      func(r *httpcodec.Request) bool { return string(r.Path) != "/handler" },
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			running <- struct{}{}
			<-release
		}),
	})
	const handled = "GET /handler HTTP/1.1\r\nHost: x\r\n\r\n"
	quickly, onLoop, busy, fresh := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	onLoop.get("/")
	quickly.send(handled)
	<-running
	release <- struct{}{}
	quickly.answer("GET")
	busy.send(handled)
	<-running

	s.SetKeepAlivesEnabled(false)
	onLoop.wantEOF()
	quickly.wantEOF()
	release <- struct{}{}
	for _, c := range []*client{fresh, s.dial(t)} {
		c.send(getRoot)
		if res, _ := c.answer("GET"); !res.Close {
			t.Error("an answer does not say that it is the last")
		}
		c.wantEOF()
	}
	if res, _ := busy.answer("GET"); !res.Close {
		t.Error("the answer of a handler does not say that it is the last")
	}
	busy.wantEOF()

	s.SetKeepAlivesEnabled(true)
	c := s.dial(t)
	c.get("/")
	c.get("/")
}

// It can be said before the server serves.
func TestSetKeepAlivesEnabledBefore(t *testing.T) {
	srv := new(Server)
	srv.SetKeepAlivesEnabled(false)
	c := start(t, srv).dial(t)
	c.send(getRoot)
	c.answer("GET")
	c.wantEOF()
}
