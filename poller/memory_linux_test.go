//go:build linux

package poller

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/poller/internal/onloop"
)

// buffered is what connections have buffered, to the byte.
func (s *served) buffered() int64 {
	n := s.run.memory.held.Load()
	for _, l := range s.run.loops {
		onLoop(l, func() { n += l.uncharged })
	}
	return n
}

// TestBuffered lets clients leave something with the server in each way that there is, and then go.
func TestBuffered(t *testing.T) {
	const megabyte = 1 << 20
	goOn := make(chan struct{})
	large := LoopHandlerFunc(func(w *Responder, r *Request) { _, _ = w.Write(make([]byte, 4*megabyte)) })
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/handler/reads":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/handler/writes":
			_, _ = w.Write(make([]byte, 16*megabyte))
		case "/handler/hijacks":
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		case "/handler/waits":
			<-goOn
		case "/handler/upgrades":
			header := http.Header{"Upgrade": {"shouts"}, "Connection": {"Upgrade"}}
			if err := onloop.From(r.Context()).Take(101, header, &shouts{ended: make(chan error, 1)}); err != nil {
				t.Error(err)
			}
		}
	})
	defer close(goOn)
	s := start(t, &Server{
		Loops: 2, LoopHandler: large, Handler: handler, MaxBodyBytes: 2 * megabyte,
		OnLoop: func(r *httpcodec.Request) bool { return !strings.HasPrefix(string(r.Path), "/handler") },
	})
	idle := s.dial(t)
	idle.get("/handler")
	lingertest.Wait(t, "its loop knows that the handler has returned", func() (knows bool) {
		for _, l := range s.run.loops {
			onLoop(l, func() { knows = knows || l.lists[idleTimeout].first != nil })
		}
		return knows
	})
	before := s.buffered() // of TLS
	if s.tls == nil && before != 0 {
		t.Errorf("%d bytes are buffered for an idle connection", before)
	}
	const head = " HTTP/1.1\r\nHost: x\r\n"
	for _, tt := range []struct {
		name, request string
		slow          bool
		least         int64
	}{
		{"part of a head", "GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 5000), false, 5000},
		{"part of a content", "POST /" + head + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("a", 500_000), false, 500_000},
		{"part of a chunk", "POST /" + head + "Transfer-Encoding: chunked\r\n\r\n100000\r\n" + strings.Repeat("a", 500_000), false, 500_000},
		{"an answer", "GET /" + head + "\r\n", true, megabyte},
		{"requests behind an answer", "GET /" + head + "\r\nGET /" + head + "A: " + strings.Repeat("a", 5000) + "\r\n\r\n", true, megabyte + 5000},
		{"a handler that reads", "POST /handler/reads" + head + "Content-Length: 10\r\n\r\n", false, waitingBytes},
		{"a handler that reads chunks", "POST /handler/reads" + head + "Transfer-Encoding: chunked\r\n\r\n1\r\n", false, waitingBytes + 32<<10},
		{"a handler that writes", "GET /handler/writes" + head + "\r\n", true, waitingBytes},
		{"a handler that works", "GET /handler/waits" + head + "A: " + strings.Repeat("a", 5000) + "\r\n\r\n", false, 5000},
		{"an upgraded connection that takes nothing", "GET /handler/upgrades" + head + "Connection: Upgrade\r\nUpgrade: shouts\r\n\r\nfill\n", true, megabyte},
		{"a hijacked connection", "GET /handler/hijacks" + head + "\r\n", false, hijackedBytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			if tt.slow {
				c = s.dialSlow(t)
			}
			c.send(tt.request)
			lingertest.Wait(t, "it is buffered", func() bool { return s.buffered()-before >= tt.least })
			_ = c.SetLinger(0)
			_ = c.TCPConn.Close()
			lingertest.Wait(t, "nothing is buffered any more", func() bool { return s.buffered() == before })
		})
	}
}

// TestMaxBufferedBytes lets clients that stand still in the middle of large contents take all that there may be. They are reset, and
// those who have small requests are not.
func TestMaxBufferedBytes(t *testing.T) {
	const bound = 1 << 20
	var resets, refusals atomic.Int64
	s := start(t, &Server{
		MaxBufferedBytes: bound, MaxBodyBytes: 10 * bound, StuckGrace: time.Minute, // all loops are heard, however slow the machine
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { _, _ = w.Write(r.Body) }),
		Overloaded: func(o Overload) {
			switch {
			case o.Held <= 0 || o.Buffered <= 0 || o.Conn.ID == 0 || !o.Conn.Remote.IsValid():
				t.Errorf("Overloaded was told %+v", o)
			case o.Reset:
				resets.Add(1)
			default:
				refusals.Add(1)
			}
		},
	})
	half := s.dial(t) // stands still too, but is not in anybody's way
	half.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	var large []*client
	for range 8 {
		c := s.dial(t)
		large = append(large, c)
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 700000\r\n\r\n")
	}
	lingertest.Wait(t, "the requests have been begun", func() bool {
		n := 0
		for _, l := range s.run.loops {
			onLoop(l, func() {
				for c := range l.holding() {
					if c.pending != nil && c.pending.large {
						n++
					}
				}
			})
		}
		return n == len(large)
	})
	for _, c := range large {
		go func() { _, _ = io.WriteString(c, strings.Repeat("a", 699_999)) }() // all but one
	}
	lingertest.Wait(t, "most of them are reset", func() bool { return resets.Load() == 7 })
	reset := 0
	for _, c := range large {
		lingertest.Wait(t, "it is reset, or all that it has sent is there", func() bool {
			return s.peerState(t, c) == "none" || c.sendQueue() == 0
		})
		if s.peerState(t, c) == "none" {
			c.wantReset()
			reset++
		}
	}
	if got := s.buffered(); got > bound+bound/8 {
		t.Errorf("%d bytes are buffered, of %d", got, bound)
	}
	rep := s.Report().Memory
	if rep.Bound != bound || rep.Reset != reset || rep.Reset != int(resets.Load()) || rep.Peak < bound || rep.Buffered <= 0 {
		t.Errorf("the Report says %+v; the hook was told of %d resets, and %d clients were", rep, resets.Load(), reset)
	}
	half.send("world")
	if _, body := half.answer("POST"); body != "helloworld" {
		t.Errorf("the small request got %q", body)
	}
}

// TestShortOfMemory refuses large requests, and no others.
func TestShortOfMemory(t *testing.T) {
	const bound = 4 << 20
	var refusals atomic.Int64
	s := start(t, &Server{
		MaxBufferedBytes: bound, MaxBodyBytes: 10 * bound, MaxHeaderBytes: bound,
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { _, _ = w.Write(r.Body) }),
		Overloaded:  func(o Overload) { refusals.Add(1) },
	})
	const head = "POST / HTTP/1.1\r\nHost: x\r\n"
	before, small := s.dial(t), s.dial(t)
	content := strings.Repeat("a", 200_000)
	before.send(head + "Content-Length: 200000\r\n\r\n" + content[:100_000])
	lingertest.Wait(t, "a large request has been begun", func() bool { return s.buffered() >= 100_000 })
	s.run.memory.add(bound / 4 * 3)
	defer s.run.memory.add(-bound / 4 * 3)
	for i, request := range []string{
		head + "Content-Length: 200000\r\n\r\n",
		head + "Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\n20000\r\n" + content[:0x12000],
		head + "A: " + content,
	} {
		c := s.dial(t)
		c.send(request)
		if res, body := c.answer("POST"); res.StatusCode != 503 || !res.Close || !strings.Contains(body, "memory") {
			t.Errorf("%.80q = %s %q, want 503, close", request, res.Status, body)
		}
		if n := int(refusals.Load()); n != i+1 || s.Report().Memory.Refused != n {
			t.Errorf("the hook was told of %d refusals, the Report says %d, want %d", n, s.Report().Memory.Refused, i+1)
		}
	}
	small.send(head + "Content-Length: 50000\r\n\r\n")
	small.send(content[:50_000])
	if res, body := small.answer("POST"); res.StatusCode != 200 || len(body) != 50_000 {
		t.Errorf("a small request got %s, %d bytes", res.Status, len(body))
	}
	before.send(content[100_000:])
	if res, body := before.answer("POST"); res.StatusCode != 200 || len(body) != len(content) {
		t.Errorf("a large request that had been begun got %s, %d bytes", res.Status, len(body))
	}
}

// TestForemost: who has made the least progress for what it holds comes first.
func TestForemost(t *testing.T) {
	stalled := holder{held: 10 << 20, turnover: 10 << 20 / leastProgress}
	trickling := holder{held: 9 << 20, turnover: 9 << 20 / (leastProgress + 1)}
	slowHead := holder{held: 100, turnover: 100. / leastProgress}
	uploading := holder{held: 10 << 20, turnover: 1}
	all := foremost([]holder{slowHead, uploading, trickling, stalled}, 15<<20)
	if len(all) != 2 || all[0] != stalled || all[1] != trickling {
		t.Errorf("foremost() = %v", all)
	}
	if all := foremost([]holder{slowHead}, 1<<20); len(all) != 1 {
		t.Errorf("foremost() = %v where there is not so much", all)
	}
}
