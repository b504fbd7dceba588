//go:build linux

package poller

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/poller/internal/onloop"
)

// shouts is a protocol of lines: each comes back in capitals, but that "end" ends the connection, "fill" has more sent than the client's and
// the kernel's buffers take, and "wake" is answered in a turn of its own. In a drain "bye" is said.
type shouts struct {
	conn  onloop.Conn
	began chan *shouts // gets it when the connection is the protocol's; may be nil
	ended chan error
}

func (p *shouts) Taken(c onloop.Conn) { p.conn = c }

func (p *shouts) Began() {
	if p.began != nil {
		p.began <- p
	}
}

func (p *shouts) Received(data []byte) {
	for line := range bytes.Lines(data) {
		switch strings.TrimSpace(string(line)) {
		case "end":
			p.conn.End()
		case "fill":
			p.say(strings.Repeat("x", fillSize))
		case "wake":
			p.conn.Wake()
		case "hurry":
			p.conn.Await(time.Hour)
		default:
			p.say(strings.ToUpper(string(line)))
		}
	}
}

const fillSize = 16 << 20

func (p *shouts) say(s string) {
	_, _ = p.conn.Send(onloop.Output{Head: []byte(s), Message: true})
}

func (p *shouts) Weight() int     { return 0 }
func (p *shouts) Woken()          { p.say("awake\n") }
func (p *shouts) Sent()           { p.say("sent\n") }
func (p *shouts) Late()           { p.say("late\n") }
func (p *shouts) Turn(bool)       { p.say("bye\n") }
func (p *shouts) Ended(err error) { p.ended <- err }

// shouting is a server whose requests to /handler are answered by 101 and shouts by the Handler, and others by the LoopHandler.
func shouting(t *testing.T, srv *Server, began chan *shouts) (s *served, ended chan error) {
	t.Helper()
	ended = make(chan error, 100)
	header := http.Header{"Upgrade": {"shouts"}, "Connection": {"Upgrade"}}
	srv.Loops = 1
	srv.OnLoop = notHandler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := onloop.From(r.Context()).Take(101, header, &shouts{began: began, ended: ended}); err != nil {
			t.Error(err)
		}
	})
	srv.LoopHandler = LoopHandlerFunc(func(w *Responder, r *Request) {
		if err := onloop.FromResponder(w).Take(101, header, &shouts{began: began, ended: ended}); err != nil {
			t.Error(err)
		}
	})
	return start(t, srv), ended
}

// upgradeBy upgrades c by one of the handlers.
func (c *client) upgradeBy(request string) {
	c.t.Helper()
	c.send(request)
	if res, err := http.ReadResponse(c.in, nil); err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "shouts" {
		c.t.Fatalf("the answer to the upgrade is %v, %v", res, err)
	}
}

func (c *client) wantLine(want string) {
	c.t.Helper()
	if line, err := c.in.ReadString('\n'); err != nil || line != want+"\n" {
		c.t.Fatalf("read %.40q, %v, want %q", line, err, want)
	}
}

func (c *client) skip(n int64) {
	c.t.Helper()
	if got, err := io.CopyN(io.Discard, c.in, n); err != nil {
		c.t.Fatalf("the connection ended after %d bytes: %v", got, err)
	}
}

// edgesOfUpgrades leads upgraded connections over every edge that is theirs.
func edgesOfUpgrades(t *testing.T) {
	for _, request := range []string{getRoot, getWorld} {
		t.Run("upgraded, ends", func(t *testing.T) {
			s, ended := shouting(t, &Server{}, nil)
			c := s.dial(t)
			c.upgradeBy(request)
			c.send("hello\n")
			c.wantLine("HELLO")
			c.send("wake\n")
			c.wantLine("awake")
			c.send("end\n")
			c.wantEOF()
			if err := <-ended; err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	t.Run("upgraded, ends with the request", func(t *testing.T) {
		s, ended := shouting(t, &Server{}, nil)
		c := s.dial(t)
		c.upgradeBy(getRoot + "hello\nend\n")
		c.wantLine("HELLO")
		c.wantEOF()
		<-ended
	})
	t.Run("upgraded, time", func(t *testing.T) {
		s, _ := shouting(t, &Server{}, nil)
		c := s.dial(t)
		c.upgradeBy(getRoot)
		c.send("hurry\n")
		s.waitConn(t, "the protocol waits", func(c *conn) bool { return c.waits >= ownTimeouts })
		l := s.run.loops[0]
		onLoop(l, func() {
			l.lists[l.kindOf(time.Hour)].first.deadline = 1
			l.expire()
		})
		c.wantLine("late")
	})
	t.Run("clogged", func(t *testing.T) {
		s, ended := shouting(t, &Server{}, nil)
		c := s.dialBuffered(t, 256<<10)
		c.upgradeBy(getRoot)
		c.send("fill\n")
		s.waitState(t, clogged)
		c.skip(fillSize)
		c.wantLine("sent")
		c.send("fill\nend\n")
		s.waitState(t, clogged)
		c.skip(fillSize)
		c.wantEOF()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("told", func(t *testing.T) {
		s, _ := shouting(t, &Server{}, nil)
		a, b := s.dial(t), s.dialBuffered(t, 256<<10)
		a.upgradeBy(getRoot)
		b.upgradeBy(getWorld)
		b.send("fill\n")
		s.waitState(t, clogged)
		result := make(chan error, 1)
		go func() { result <- s.Shutdown(context.Background()) }()
		a.wantLine("bye")
		a.send("hello\nend\n")
		a.wantLine("HELLO")
		a.wantEOF()
		b.skip(fillSize)
		b.wantLine("bye")
		b.wantLine("sent")
		b.send("end\n")
		b.wantEOF()
		if err := <-result; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if rep := s.Report(); rep.Closed != 2 || rep.Connections.Total() != 0 || rep.Undelivered != 0 || !rep.Complete() {
			t.Errorf("the Report says %+v, want two closed in order", rep)
		}
		s.assertGone(t)
	})
	t.Run("turning", func(t *testing.T) {
		s, _ := shouting(t, &Server{Spread: time.Hour}, nil)
		a, b, c := s.dial(t), s.dialBuffered(t, 256<<10), s.dial(t)
		for _, c := range []*client{a, b, c} {
			c.upgradeBy(getRoot)
		}
		b.send("fill\n")
		s.waitState(t, clogged)
		result := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { result <- s.Shutdown(ctx) }()
		s.waitConn(t, "all wait for their turn", func(c *conn) bool { return c.state == turning && c.next != nil && c.prev != nil })
		a.send("hello\n")
		a.wantLine("HELLO")
		a.send("end\n") // before its turn
		a.wantEOF()
		b.skip(fillSize)
		b.wantLine("sent")
		l := s.run.loops[0]
		lingertest.Wait(t, "there are two left", func() bool { return s.run.live.Load() == 2 })
		onLoop(l, func() {
			for c := l.lists[turnTimeout].first; c != nil; c = c.next {
				c.deadline = 1
			}
			l.expire()
		})
		b.wantLine("bye")
		c.wantLine("bye")
		c.send("end\n")
		c.wantEOF()
		lingertest.Wait(t, "b is left", func() bool { return s.run.live.Load() == 1 })
		cancel() // it does not say anything
		b.wantReset()
		if err := <-result; err != context.Canceled {
			t.Errorf("Shutdown = %v", err)
		}
		if rep := s.Report(); rep.Closed != 2 || rep.AtDeadline[linger.Upgraded] != 1 || rep.AtDeadline.Total() != 1 || !rep.Complete() {
			t.Errorf("the Report says %+v, want two closed in order, and one cut", rep)
		}
	})
}

// An answer that a protocol goes on with is reported, and counted, when it begins: how long the protocol then goes on says nothing of how quick the
// server is.
func TestUpgradeAnswered(t *testing.T) {
	answers, ended := make(chan Answer, 10), make(chan error, 10)
	began := make(chan *shouts, 10)
	take := func(offer onloop.Offer, target string) {
		p, status, header := &shouts{began: began, ended: ended}, 200, http.Header{"Content-Type": {"text/event-stream"}}
		if strings.Contains(target, "upgrade") {
			status, header = 101, http.Header{"Upgrade": {"shouts"}, "Connection": {"Upgrade"}}
		}
		if err := offer.Take(status, header, p); err != nil {
			t.Errorf("Take for %s = %v", target, err)
		}
	}
	s := start(t, &Server{
		OnLoop:      func(r *httpcodec.Request) bool { return strings.HasPrefix(string(r.Path), "/loop") },
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { take(onloop.FromResponder(w), string(r.RequestTarget)) }),
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { take(onloop.From(r.Context()), r.RequestURI) }),
		Answered:    func(a Answer) { answers <- a },
	})
	n := int64(0)
	want := func(line string, status int) {
		t.Helper()
		a := wait(t, line, answers) // the protocol goes on
		if a.RequestLine != line || a.Status != status || a.Bytes != 0 || a.Took <= 0 || a.Took > lingertest.Patience {
			t.Errorf("answer = %+v, want one to %s of %d without content", a, line, status)
		}
		n++
		if stats := s.Stats(); stats.Requests[1]+stats.Requests[2] != n {
			t.Errorf("%d answers are counted, want %d", stats.Requests[1]+stats.Requests[2], n)
		}
		p := wait(t, line, began)
		_, err := p.conn.Send(onloop.Output{Head: []byte("hello\n")})
		lingertest.Must(t, err)
		p.conn.Abort()
		wait(t, "its end", ended)
	}
	for _, target := range []string{"/loop/stream", "/loop/upgrade", "/pool/stream", "/pool/upgrade"} {
		c := s.dial(t)
		status := 200
		if strings.Contains(target, "upgrade") {
			status = 101
		}
		c.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		want("GET "+target+" HTTP/1.1", status)
	}
	if s.tls == nil {
		for i, target := range []string{"/loop/stream", "/pool/stream"} {
			c := s.dialH2(t)
			c.get(uint32(2*i+1), target)
			want("GET "+target+" HTTP/2.0", 200)
		}
	}
	lingertest.Must(t, s.Close())
	select {
	case a := <-answers:
		t.Errorf("it was reported again: %+v", a)
	default:
	}
}
