//go:build linux

package poller

import (
	"errors"
	"net"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// filtering is a listener that looks at connections before it hands them out.
type filtering struct{ *net.TCPListener }

func (l filtering) Accept() (net.Conn, error) {
	for {
		c, err := l.TCPListener.Accept()
		if err != nil {
			return nil, err
		}
		_ = c.Close()
	}
}

// unclosable is one whose Close fails.
type unclosable struct{ *net.TCPListener }

var errUnclosable = errors.New("it stays open")

func (l unclosable) Close() error { return errUnclosable }

// An Accept of a user's is never passed over without a word, and a refusal leaves nothing that listens.
func TestServeRefusesWhatItWouldPassOver(t *testing.T) {
	tests := map[string]func(t *testing.T, ln *net.TCPListener) net.Listener{
		"a struct around a TCPListener": func(t *testing.T, ln *net.TCPListener) net.Listener { return filtering{ln} },
		"a pointer to one":              func(t *testing.T, ln *net.TCPListener) net.Listener { return &filtering{ln} },
		"one that cannot be closed":     func(t *testing.T, ln *net.TCPListener) net.Listener { return unclosable{ln} },
		"one below a linger.Listener": func(t *testing.T, ln *net.TCPListener) net.Listener {
			l, err := linger.Wrap(filtering{ln})
			if err != nil {
				t.Fatal(err)
			}
			return l
		},
		"one that cannot be closed below a linger.Listener": func(t *testing.T, ln *net.TCPListener) net.Listener {
			l, err := linger.Wrap(unclosable{ln})
			if err != nil {
				t.Fatal(err)
			}
			return l
		},
	}
	for name, wrap := range tests {
		t.Run(name, func(t *testing.T) {
			ln := listenAlone(t).(*net.TCPListener)
			before := lingertest.Descriptors()
			err := new(Server).Serve(wrap(t, ln))
			if err == nil || !strings.Contains(err.Error(), "*net.TCPListener or *linger.Listener") {
				t.Errorf("Serve() = %v, want an error that says what to hand in", err)
			}
			ln.Close()
			if left := lingertest.NewDescriptors(before); len(left) > 0 {
				t.Errorf("descriptors left: %v", left)
			}
			if err := linger.CheckFree(ln.Addr().(*net.TCPAddr).AddrPort()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A linger.Listener is known: its socket is taken over, armed as the server wants it, and the connections that it has accepted are
// its own.
func TestServeTakesALingerListenerOver(t *testing.T) {
	for _, armed := range []bool{false, true} {
		below := listenAlone(t)
		ln, err := linger.ListenConfig{Armed: armed}.Wrap(below)
		if err != nil {
			t.Fatal(err)
		}
		early, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer early.Close()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		s := startOn(t, &Server{LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			if armed, err := linger.Armed(r.conn.sock.FD); !armed || err != nil {
				t.Errorf("Armed = %v, %v", armed, err)
			}
		})}, ln)
		c := s.dial(t)
		c.get("/")
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		c.wantReset()
		if rep := s.Report(); !rep.Complete() || rep.Left.Others.Total() != 1 {
			t.Errorf("Report() = %s, want the Listener's connection among the others", rep)
		}
		rep, err := ln.Abort()
		if err != nil || rep.Connections.Total() != 1 {
			t.Errorf("Abort = %s, %v, want the one connection reset", rep, err)
		}
		s.assertGone(t)
	}
}
