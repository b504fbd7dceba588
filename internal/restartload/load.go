// Package restartload puts a server under the load that shows a restart, for tests and for the benchmark: clients with a new connection
// for each request, clients that POST on connections that they keep, slow answers, uploads, idle connections, WebSockets and event streams.
// No client repeats a request by itself, as those of net/http and browsers do, so what the server loses is seen.
package restartload

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what a client does.
type Kind string

// The kinds.
const (
	New       Kind = "get"       // a new connection for each GET
	Kept      Kind = "post"      // POST on a connection until the server ends it
	Slow      Kind = "in-flight" // GET of what is answered late, on a kept connection
	Upload    Kind = "upload"    // POST of content that is sent slowly, on a kept connection
	Idle      Kind = "idle"      // one answer on a connection, and then its end is waited for
	WebSocket Kind = "websocket" // a message now and then, which is echoed
	SSE       Kind = "sse"       // an event stream, and another when that has ended, from the last event on
)

// Config says what the load is.
type Config struct {
	Addr string      // of the server
	TLS  *tls.Config // nil: without
	// How many clients there are of each kind.
	New, Kept, Slow, Upload, Idle, WebSocket, SSE int
	// Rate is how many requests a second New and Kept clients begin together, evenly, whatever becomes of them: a request that is begun late,
	// since the one before it has not ended, counts from when it was due. Zero: as many as they can.
	Rate float64
	// Pause is between two requests of a client, without a Rate. Zero: none.
	Pause time.Duration
	// Paths are what is asked for; / if empty, but for UploadPath, for which it is PostPath.
	Path, PostPath, SlowPath, UploadPath, WebSocketPath, EventsPath string
	// UploadTakes is how long a client takes to send its content. Zero: DefaultUploadTakes.
	UploadTakes time.Duration
	// ProcessField is the name of the field of an answer whose value tells the processes of the server apart. Empty: there is none.
	ProcessField string
	// Timeout bounds a request: one that takes longer is lost. Zero: 20 s.
	Timeout time.Duration
}

const (
	DefaultUploadTakes = 400 * time.Millisecond
	// UploadBytes and UploadPieces are what an upload is of.
	UploadBytes, UploadPieces = 64 << 10, 8
	// MessageEvery is between two messages of a WebSocket.
	MessageEvery = 250 * time.Millisecond
)

// Load is what works. Any goroutine may call its methods.
type Load struct {
	config Config
	ending atomic.Bool
	end    chan struct{}
	stop   sync.Once
	all    sync.WaitGroup
	began  time.Time

	mu      sync.Mutex // guards what follows
	waiting map[net.Conn]bool
	result  Result
	lost    *Lost // the first

	idleNow, idleAnswers, requests, losses, ready atomic.Int64
}

// Answer is a request that was answered.
type Answer struct {
	Kind    Kind
	Began   time.Duration // since the load began, as it was due
	Took    time.Duration
	Process string // that has answered, as ProcessField says
}

// At is when it was answered, since the load began.
func (a Answer) At() time.Duration { return a.Began + a.Took }

// Lost is a request that was not answered with 200, a handshake not with 101, or a message not with itself.
type Lost struct {
	Kind  Kind
	Began time.Duration // as it was due
	At    time.Duration // that this was known
	Loss  Loss
	Err   error
}

// Cut is a connection that has ended without an answer of it having said that it was its last, while nothing was asked on it, or an event
// stream that has ended.
type Cut struct {
	Kind Kind
	At   time.Duration // that the client saw it
	How  string        // "reset", "closed", of a WebSocket with a close frame "close 1012", or of an event stream that was whole "ended"
}

// Event is one that came on an event stream. The rest is about the first one of a stream with which a client has come back.
type Event struct {
	At       time.Duration
	Missed   int  // events between it and the last one before, as their IDs have it, if these are numbers that grow by one
	Repeated bool // it had come before, with that ID
	Unknown  bool // its ID, if any, does not tell what was missed
}

// Result is what became of the requests.
type Result struct {
	Answers []Answer
	Lost    []Lost
	Cuts    []Cut
	Events  []Event
}

// Of are the answers of a kind.
func (r Result) Of(kind Kind) []Answer {
	var of []Answer
	for _, a := range r.Answers {
		if a.Kind == kind {
			of = append(of, a)
		}
	}
	return of
}

// Requests is the number of all.
func (r Result) Requests() int { return len(r.Answers) + len(r.Lost) }

// String counts what was lost, by reason.
func (r Result) String() string {
	count := func(add func(note func(string))) string {
		n := make(map[string]int)
		add(func(what string) { n[what]++ })
		var parts []string
		for what, n := range n {
			parts = append(parts, fmt.Sprintf("%d × %s", n, what))
		}
		slices.Sort(parts)
		return strings.Join(parts, "; ")
	}
	answers := count(func(note func(string)) {
		for _, a := range r.Answers {
			note(string(a.Kind))
		}
	})
	lost := count(func(note func(string)) {
		for _, l := range r.Lost {
			note(string(l.Kind) + ": " + l.Err.Error())
		}
	})
	cut := count(func(note func(string)) {
		for _, c := range r.Cuts {
			note(string(c.Kind) + " " + c.How)
		}
	})
	return fmt.Sprintf("%d requests (answered: %s), lost: %d %s, ended between requests: %d %s", r.Requests(), answers, len(r.Lost), lost, len(r.Cuts), cut)
}

// Start begins a load, which Stop ends.
func Start(c Config) *Load {
	c.Path, c.PostPath, c.SlowPath = cmp.Or(c.Path, "/"), cmp.Or(c.PostPath, "/"), cmp.Or(c.SlowPath, "/")
	c.UploadPath, c.WebSocketPath = cmp.Or(c.UploadPath, c.PostPath), cmp.Or(c.WebSocketPath, "/")
	c.EventsPath = cmp.Or(c.EventsPath, "/")
	c.UploadTakes, c.Timeout = cmp.Or(c.UploadTakes, DefaultUploadTakes), cmp.Or(c.Timeout, patience)
	l := &Load{config: c, end: make(chan struct{}), began: time.Now(), waiting: make(map[net.Conn]bool)}
	timely := c.New + c.Kept
	for i := range timely {
		// One after the other, so that their requests are evenly spread; kinds alternate as far as there are as many of both.
		kind := New
		if i*c.Kept/timely < (i+1)*c.Kept/timely {
			kind = Kept
		}
		l.begin(kind, newSchedule(c, i, timely))
	}
	for kind, n := range map[Kind]int{Slow: c.Slow, Upload: c.Upload} {
		for range n {
			l.begin(kind, schedule{})
		}
	}
	for range c.Idle {
		l.all.Go(func() { newClient(l, Idle, schedule{}).stayIdle() })
	}
	for range c.WebSocket {
		l.all.Go(func() { newClient(l, WebSocket, schedule{}).converse() })
	}
	for range c.SSE {
		l.all.Go(func() { newClient(l, SSE, schedule{}).listen() })
	}
	return l
}

func (l *Load) begin(kind Kind, s schedule) { l.all.Go(newClient(l, kind, s).work) }

// Clients is how many there are.
func (c Config) Clients() int {
	return c.New + c.Kept + c.Slow + c.Upload + c.Idle + c.WebSocket + c.SSE
}

// Since is how long the load has been at work, and Began when it began.
func (l *Load) Since() time.Duration { return time.Since(l.began) }
func (l *Load) Began() time.Time     { return l.began }

// Requests is the number of those that have ended.
func (l *Load) Requests() int64 { return l.requests.Load() }

// Losses is the number of those that were lost.
func (l *Load) Losses() int64 { return l.losses.Load() }

// Ready is the number of clients that have had an answer.
func (l *Load) Ready() int64 { return l.ready.Load() }

// Idle is the number of clients that are idle now, and IdleAnswers that of answers which idle clients have had: one for each connection.
func (l *Load) Idle() int64        { return l.idleNow.Load() }
func (l *Load) IdleAnswers() int64 { return l.idleAnswers.Load() }

// First is the first that was lost; nil if none was.
func (l *Load) First() *Lost {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Stop ends the load, and waits for what is in flight. A second call returns the same.
func (l *Load) Stop() Result {
	l.ending.Store(true)
	l.stop.Do(func() { close(l.end) })
	l.mu.Lock()
	for c := range l.waiting {
		_ = c.SetReadDeadline(time.Now())
	}
	l.mu.Unlock()
	l.all.Wait()
	return l.result
}

// wait returns after d, or when the load ends, and reports whether it goes on.
func (l *Load) wait(d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.end:
		}
	}
	return !l.ending.Load()
}

// await makes read wait for the end of a connection, for as long as the load goes on.
func (l *Load) await(c net.Conn, read func()) {
	l.mu.Lock()
	if l.ending.Load() {
		l.mu.Unlock()
		return
	}
	_ = c.SetDeadline(time.Time{})
	l.waiting[c] = true
	l.mu.Unlock()
	read()
	l.mu.Lock()
	delete(l.waiting, c)
	l.mu.Unlock()
}

// schedule says when the requests of a client are due. The zero value: one after the other, after a pause.
type schedule struct {
	next, every time.Duration // since the load began; every is 0 for the zero value
}

// newSchedule is that of client i of n.
func newSchedule(c Config, i, n int) schedule {
	if c.Rate <= 0 {
		return schedule{}
	}
	each := time.Duration(float64(time.Second) / c.Rate)
	return schedule{next: time.Duration(i) * each, every: time.Duration(n) * each}
}

// due waits until the next request is, and returns when that is. It reports whether the load goes on.
func (s *schedule) due(l *Load, first bool) (time.Duration, bool) {
	if s.every == 0 {
		if !first && !l.wait(l.config.Pause) {
			return 0, false
		}
		return l.Since(), !l.ending.Load()
	}
	at := s.next
	s.next += s.every
	return at, l.wait(at - l.Since())
}
