//go:build linux

package fleet

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"rstserver/linger"
)

// HandleFast is the handler of fasthttp's servers.
func (s *Served) HandleFast(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	stream := func(write func(*bufio.Writer) error) {
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			defer s.Working()()
			_ = write(w)
		})
	}
	switch path {
	case "/":
		ctx.SetBodyString("hello")
	case "/wait":
		defer s.Working()()
		<-s.Gate
	case "/half":
		stream(func(w *bufio.Writer) error {
			_, _ = w.WriteString("half")
			err := w.Flush()
			<-s.Gate
			return err
		})
	case "/endless":
		stream(func(w *bufio.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return err
				}
			}
		})
	case "/hijack":
		ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
		ctx.Hijack(func(c net.Conn) {
			defer s.Working()()
			_, _ = io.Copy(io.Discard, c)
		})
	}
}

// StartFast serves by fasthttp, on what over makes of the Listener.
func StartFast(t testing.TB, config linger.ListenConfig, over func(net.Listener) net.Listener) *Served {
	// Its pool ends so long after its Serve.
	srv := &fasthttp.Server{Logger: Quiet, MaxIdleWorkerDuration: 100 * time.Millisecond}
	return Start(t, config, func(s *Served) error {
		srv.Handler, s.Shutdown = s.HandleFast, srv.ShutdownWithContext
		return srv.Serve(over(s.Listener))
	})
}

// FastStates are HTTPStates as far as they keep a handler of fasthttp busy: it calls one only when it has all of a request.
func FastStates(open Opener) []State {
	states := append(HTTPStates(open), State{Name: "new", Open: Raw(Sends(""))})
	for i := range states {
		if states[i].Name == "half a body" {
			states[i].Handlers = 0
		}
	}
	return states
}
