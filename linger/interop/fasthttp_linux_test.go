//go:build linux

package interop

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// handleFast is the handler of fasthttp's servers.
func (s *served) handleFast(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	stream := func(write func(*bufio.Writer) error) {
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			defer s.working()()
			_ = write(w)
		})
	}
	switch path {
	case "/":
		ctx.SetBodyString("hello")
	case "/wait":
		defer s.working()()
		<-s.gate
	case "/half":
		stream(func(w *bufio.Writer) error {
			_, _ = w.WriteString("half")
			err := w.Flush()
			<-s.gate
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
			defer s.working()()
			_, _ = io.Copy(io.Discard, c)
		})
	}
}

func startFast(t testing.TB, config linger.ListenConfig, over func(net.Listener) net.Listener) *served {
	// Its pool ends so long after its Serve.
	srv := &fasthttp.Server{Logger: quiet, MaxIdleWorkerDuration: 100 * time.Millisecond}
	return start(t, config, func(s *served) error {
		srv.Handler, s.shutdown = s.handleFast, srv.ShutdownWithContext
		return srv.Serve(over(s.Listener))
	})
}

// fastStates are httpStates as far as they keep a handler of fasthttp busy: it calls one only when it has all of a request.
func fastStates(open func(func(*rawClient) error) func(testing.TB, *served) (client, error)) []state {
	states := append(httpStates(open), state{name: "new", open: raw(sends(""))})
	for i := range states {
		if states[i].name == "half a body" {
			states[i].handlers = 0
		}
	}
	return states
}

func TestFasthttp(t *testing.T) {
	bare := func(ln net.Listener) net.Listener { return ln }
	t.Run("Abort", func(t *testing.T) {
		abortsAll(t, startFast(t, linger.ListenConfig{Armed: true}, bare), lingertest.Times(200, 1000), fastStates(raw))
	})
	t.Run("Abort, TLS", func(t *testing.T) {
		server, config := selfSigned(t)
		server.NextProtos = nil
		s := startFast(t, linger.ListenConfig{}, func(ln net.Listener) net.Listener { return tls.NewListener(ln, server) })
		abortsAll(t, s, 100, fastStates(func(do func(*rawClient) error) func(testing.TB, *served) (client, error) { return rawTLS(config, do) }))
	})
	t.Run("Drain", func(t *testing.T) { drainsAll(t, startFast(t, linger.ListenConfig{}, bare), fastStates(raw)) })
	t.Run("Drain in order", func(t *testing.T) { finishesInDrain(t, startFast(t, linger.ListenConfig{}, bare), finishing(raw)) })
}
