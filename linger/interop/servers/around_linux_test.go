//go:build linux

package servers

import (
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/soheilhy/cmux"
	"github.com/valyala/tcplisten"

	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// around puts something around the Listener.
func around(what func(net.Listener) net.Listener) func(testing.TB) *fleet.Served {
	return func(t testing.TB) *fleet.Served {
		srv := &http.Server{ErrorLog: fleet.Quiet}
		return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
			srv.Handler, s.Shutdown = s, srv.Shutdown
			return srv.Serve(what(s.Listener))
		})
	}
}

// inside puts the Listener around something.
func inside(what func(net.Listener) net.Listener) func(testing.TB) *fleet.Served {
	return func(t testing.TB) *fleet.Served {
		below, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		return wrapped(t, what(below))
	}
}

func wrapped(t testing.TB, ln net.Listener) *fleet.Served {
	l, err := linger.Wrap(ln)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ErrorLog: fleet.Quiet}
	return fleet.StartOn(t, l, func(s *fleet.Served) error {
		srv.Handler, s.Shutdown = s, srv.Shutdown
		return srv.Serve(s.Listener)
	})
}

func startDeferring(t testing.TB) *fleet.Served {
	ln, err := (&tcplisten.Config{DeferAccept: true}).NewListener("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return wrapped(t, ln)
}

func startCmux(t testing.TB) *fleet.Served {
	srv := &http.Server{ErrorLog: fleet.Quiet}
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		srv.Handler, s.Shutdown = s, srv.Shutdown
		m := cmux.New(s.Listener)
		web := m.Match(cmux.HTTP1Fast())
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(web) })
		err := m.Serve()
		_ = srv.Close()
		serving.Wait()
		return err
	})
}

// proxied are listeners of go-proxyproto that wait for a header for as long as it takes.
func proxied(ln net.Listener) net.Listener {
	return &proxyproto.Listener{Listener: ln, ReadHeaderTimeout: -1}
}

// proxiedStates are those of connections that begin with a PROXY header.
func proxiedStates(testing.TB) []fleet.State {
	const header = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
	behind := func(do func(*fleet.RawClient) error) func(testing.TB, *fleet.Served) (fleet.Client, error) {
		return fleet.Raw(func(c *fleet.RawClient) error {
			if err := c.Send(header); err != nil {
				return err
			}
			return do(c)
		})
	}
	return append(briefStates(behind),
		fleet.State{Name: "new", Open: fleet.Raw(fleet.Sends(""))},
		// A header of version 1 has to come in one piece: the server closes what has sent half of one.
		fleet.State{Name: "half a PROXY header", Open: fleet.Raw(fleet.Sends("\r\n\r\n\x00\r\nQ"))},
	)
}
