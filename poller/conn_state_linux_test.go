//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// edge is a change of state.
type edge struct{ from, to state }

func (e edge) String() string { return fmt.Sprintf("%s ─▶ %s", e.from, e.to) }

// drawn are the edges of the drawing in conn_state_linux.go, but for those that it says of every state.
var drawn = sync.OnceValue(func() map[edge]bool {
	source, err := os.ReadFile("conn_state_linux.go")
	if err != nil {
		panic(err)
	}
	named := func(list string) (ss []state) {
		for name := range strings.SplitSeq(list, ",") {
			s := slices.IndexFunc(table[:], func(r row) bool { return r.name == strings.TrimSpace(name) })
			if s < 0 {
				panic("the drawing has a state of the name " + name)
			}
			ss = append(ss, state(s))
		}
		return ss
	}
	edges := make(map[edge]bool)
	for _, line := range regexp.MustCompile(`(?m)^//\t(.*?─▶.*?)(?:  .*)?$`).FindAllStringSubmatch(string(source), -1) {
		steps := strings.Split(line[1], " ─▶ ")
		for i, from := range steps[:len(steps)-1] {
			for _, f := range named(from) {
				for _, t := range named(steps[i+1]) {
					edges[edge{f, t}] = true
				}
			}
		}
	}
	return edges
})

// walked are the edges that connections have taken in this process.
var walked struct {
	sync.Mutex
	edges map[edge]bool
}

// walk notes an edge, and panics if it is not drawn.
func walk(from, to state) {
	e := edge{from, to}
	switch {
	case (to == ended || to == reset) && from < hijacked, to == gone && from != gone:
	case !drawn()[e]:
		panic(fmt.Sprintf("%s is not drawn", e))
	}
	walked.Lock()
	defer walked.Unlock()
	walked.edges[e] = true
}

func init() {
	walked.edges = make(map[edge]bool)
	changed = walk
}

// exchangeOf is the exchange that a handler's request belongs to.
func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// waitFor waits until the exchange's state is s.
func (x *exchange) waitFor(t *testing.T, s state) {
	t.Helper()
	lingertest.Wait(t, s.String(), func() bool { return x.now() == s })
}

// waitState waits until a connection of the one loop is in that state.
func (s *served) waitState(t *testing.T, want state) {
	t.Helper()
	s.waitConn(t, want.String(), func(c *conn) bool { return c.state == want })
}

// waitConn waits until ok is true of a connection of the one loop.
func (s *served) waitConn(t *testing.T, what string, ok func(*conn) bool) {
	t.Helper()
	lingertest.Wait(t, what, func() (found bool) {
		l := s.run.loops[0]
		onLoop(l, func() {
			for kind := range l.lists {
				for c := l.lists[kind].first; c != nil; c = c.next {
					found = found || ok(c)
				}
			}
		})
		return found
	})
}

const (
	getRoot  = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	getWorld = "GET /handler HTTP/1.1\r\nHost: x\r\n\r\n"
	postHead = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
)

// TestEdges leads connections over every edge that is drawn.
func TestEdges(t *testing.T) {
	plain(t, "it walks over the edges of both")
	walked.Lock()
	clear(walked.edges)
	walked.Unlock()

	// Both handlers: /handler goes to the http.Handler, which does what the test wants.
	type do = func(w http.ResponseWriter, r *http.Request)
	both := func(handler do) *Server {
		return &Server{Loops: 1, Handler: http.HandlerFunc(handler), LoopHandler: LoopHandlerFunc(bytesHandler),
			OnLoop: notHandler}
	}
	quick := func(http.ResponseWriter, *http.Request) {}
	shutdown := func(s *served) { go s.Shutdown(context.Background()) }
	draining := func(t *testing.T, s *served) {
		lingertest.Wait(t, "the drain has come to what is idle", func() (ending bool) {
			l := s.run.loops[0]
			onLoop(l, func() { ending = l.ending })
			return ending
		})
	}

	t.Run("TLS", func(t *testing.T) {
		srv := both(quick)
		srv.TLSConfig, srv.MaxConns = serverTLS.Clone(), 1
		s := start(t, srv)
		first := s.dial(t)
		first.get("/")
		lingertest.Must(t, s.run.port.Resume()) // as another loop that has not heard of the pause
		second := s.dial(t)
		second.send(getRoot)
		s.waitState(t, parked)
		_ = first.SetLinger(0)
		_ = first.TCPConn.Close()
		second.answer("GET")
		_ = second.SetLinger(0)
		_ = second.TCPConn.Close()

		srv = both(quick)
		srv.TLSConfig, srv.Spread = serverTLS.Clone(), time.Hour
		s = start(t, srv)
		silent := s.dialPlain(t)
		s.waitState(t, greeting)
		shutdown(s)
		s.waitState(t, spread)
		silent.tls = tls.Client(silent.TCPConn, s.tls)
		go silent.tls.Write([]byte(getRoot))
		silent.answer("GET")
	})
	t.Run("idle, and part of a head or content", func(t *testing.T) {
		s := start(t, both(quick))
		c := s.dial(t)
		c.send("\r\n")
		s.waitConn(t, "the empty line has come", func(c *conn) bool { return c.state == fresh && len(c.in) == 2 })
		c.get("/")
		s.waitState(t, idle)
		c.send("GE")
		s.waitState(t, head)
		c.send("T / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.answer("GET")
		c.send(postHead)
		s.waitState(t, content)
		c.send("hello")
		c.answer("POST")
		c.send(strings.TrimSuffix(getRoot, "\r\n\r\n") + "\r\nConnection: close\r\n\r\n")
		c.answer("GET")
		s.waitState(t, lingering)
		c.wantEOF()
	})
	t.Run("the http.Handler", func(t *testing.T) {
		slow := make(chan struct{})
		s := start(t, both(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Slow") != "" {
				<-slow
			}
		}))
		c := s.dial(t)
		c.send(getWorld)
		c.answer("GET")
		s.waitState(t, quiet)
		c.send(getWorld)
		c.answer("GET")
		c.send("GET /handler HTTP/1.1\r\nHost: x\r\nSlow: 1\r\n\r\n")
		s.waitState(t, handling)
		close(slow)
		c.answer("GET")
		// Another request behind it, so that the loop has to be told.
		c.send(getWorld + getWorld)
		c.answer("GET")
		c.answer("GET")
		// Content that nobody reads, and that is not there yet.
		c.send("POST /handler HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		c.answer("POST")
		s.waitState(t, skipping)
		c.send("hello")
		c.get("/")
	})
	t.Run("a slow reader", func(t *testing.T) {
		s := start(t, both(quick))
		c := s.dialSlow(t)
		c.send("GET /bytes HTTP/1.1\r\nHost: x\r\n\r\n")
		s.waitState(t, sending)
		c.answer("GET")
	})
	t.Run("parked", func(t *testing.T) {
		srv := both(quick)
		srv.MaxConns = 1
		s := start(t, srv)
		first := s.dial(t)
		first.get("/")
		if err := s.run.port.Resume(); err != nil { // as another loop that has not heard of the pause
			t.Fatal(err)
		}
		second := s.dial(t)
		s.waitState(t, parked)
		first.Close()
		second.get("/")
	})
	for _, slowly := range []bool{false, true} {
		during := func(t *testing.T, x *exchange) {
			if slowly {
				x.waitFor(t, handling)
			}
		}
		t.Run(fmt.Sprintf("hijacked/%t", slowly), func(t *testing.T) {
			s := start(t, both(func(w http.ResponseWriter, r *http.Request) {
				during(t, exchangeOf(r))
				nc, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				nc.Close()
			}))
			c := s.dial(t)
			c.send(getWorld)
			c.wantEOF()
		})
		t.Run(fmt.Sprintf("lost/%t", slowly), func(t *testing.T) {
			s := start(t, both(func(w http.ResponseWriter, r *http.Request) {
				x := exchangeOf(r)
				during(t, x)
				onLoop(x.loop, func() { // so that it does not find out first
					if did, err := x.run.table.Abort(x.fd); !did || err != nil {
						t.Errorf("Abort = %v, %v", did, err)
					}
					if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, errConnGone) {
						t.Errorf("Hijack = %v", err)
					}
				})
			}))
			c := s.dial(t)
			c.send(getWorld)
			c.wantReset()
			lingertest.Wait(t, "it has ended", func() bool { return s.run.live.Load() == 0 })
		})
	}
	for _, before := range []struct {
		state state
		send  string
	}{{fresh, ""}, {idle, getRoot}, {quiet, getWorld}} {
		t.Run("spread/"+before.state.String(), func(t *testing.T) {
			srv := both(quick)
			srv.Spread = time.Hour
			s := start(t, srv)
			c := s.dial(t)
			if c.send(before.send); before.send != "" {
				c.answer("GET")
			}
			s.waitState(t, before.state)
			shutdown(s)
			s.waitState(t, spread)
			if before.state == fresh { // it is its turn, and a request is on its way
				l := s.run.loops[0]
				onLoop(l, func() {
					c.send("GE")
					lingertest.Wait(t, "it has come", func() bool { return c.sendQueue() == 0 })
					l.lists[turnTimeout].first.deadline = 1
					l.expire()
				})
				s.waitState(t, head)
				c.send("T / HTTP/1.1\r\nHost: x\r\n\r\n")
			} else {
				c.send(getRoot)
			}
			if res, _ := c.answer("GET"); !res.Close {
				t.Error("the answer does not say that it is the last")
			}
			s.waitState(t, parting)
			s.timeOut(t, partTimeout, func(*conn) bool { return true }) // to acking
			c.wantReset()
		})
	}
	t.Run("drain of what lingers", func(t *testing.T) {
		s := start(t, both(quick))
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		c.answer("GET")
		s.waitState(t, lingering)
		shutdown(s)
		_, _ = io.Copy(io.Discard, c) // to our FIN, or the reset behind it
		lingertest.Wait(t, "it has ended", func() bool { return s.run.live.Load() == 0 })
	})
	t.Run("last answers in a drain", func(t *testing.T) {
		for _, last := range []struct {
			request string
			state   state
		}{
			{"GET /handler HTTP/1.1\r\nHost: x\r\n\r\n", resting},
			{"GET /handler HTTP/1.0\r\n\r\n", acking}, // its content ends with the connection
		} {
			flushed, goOn := make(chan struct{}), make(chan struct{})
			s := start(t, both(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMinor == 1 {
					w.Header().Set("Content-Length", "0")
				}
				w.(http.Flusher).Flush()
				close(flushed)
				<-goOn
			}))
			c := s.dial(t)
			c.send(last.request)
			<-flushed
			shutdown(s)
			draining(t, s)
			close(goOn)
			_, _ = io.Copy(io.Discard, c)
		}
	})
	edgesOfUpgrades(t)
	edgesOfProxies(t)

	walked.Lock()
	defer walked.Unlock()
	for e := range drawn() {
		if !walked.edges[e] {
			t.Errorf("no connection has walked over %s", e)
		}
	}
}
