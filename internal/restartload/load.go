// Package restartload puts a server under the load that shows a restart: clients with a new connection for each request, clients that
// POST on connections that they keep, and idle ones. No client repeats a request by itself, as those of net/http and browsers do, so what
// the server loses is seen.
package restartload

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what the load is.
type Config struct {
	Addr string      // of the server
	TLS  *tls.Config // nil: without
	// New is the number of clients that have a new connection for each GET, Kept of those that POST on a connection until the server ends it,
	// and Idle of those that get one answer, and wait for their connection to end.
	New, Kept, Idle int
	// Pause is between two requests of a client. Zero: none.
	Pause time.Duration
	// Path is what is asked for; / if it is empty. PostPath likewise.
	Path, PostPath string
}

// Load is what works. Any goroutine may call its methods.
type Load struct {
	config Config
	ending atomic.Bool
	end    chan struct{}
	stop   sync.Once
	all    sync.WaitGroup
	began  time.Time

	mu     sync.Mutex // guards what follows
	idle   map[net.Conn]bool
	result Result

	idleNow, idleAnswers, requests atomic.Int64
}

// Request is one that was answered.
type Request struct {
	Began time.Duration // since the load began
	Took  time.Duration
}

// Lost is a request that was not answered with 200.
type Lost struct {
	Kind  string // new, kept or idle
	Began time.Duration
	Err   error
}

// Result is what became of the requests.
type Result struct {
	New, Kept, Idle []Request
	Lost            []Lost
}

// Requests is the number of all.
func (r Result) Requests() int { return len(r.New) + len(r.Kept) + len(r.Idle) + len(r.Lost) }

// String counts what was lost, by reason.
func (r Result) String() string {
	why := make(map[string]int)
	for _, l := range r.Lost {
		why[l.Kind+": "+l.Err.Error()]++
	}
	var reasons []string
	for reason, n := range why {
		reasons = append(reasons, fmt.Sprintf("%d × %s", n, reason))
	}
	slices.Sort(reasons)
	return fmt.Sprintf("%d requests (%d on new connections, %d POST on kept ones, %d of idle clients), lost: %d %s",
		r.Requests(), len(r.New), len(r.Kept), len(r.Idle), len(r.Lost), strings.Join(reasons, "; "))
}

// Start begins a load, which Stop ends.
func Start(c Config) *Load {
	c.Path, c.PostPath = cmp.Or(c.Path, "/"), cmp.Or(c.PostPath, "/")
	l := &Load{config: c, end: make(chan struct{}), began: time.Now(), idle: make(map[net.Conn]bool)}
	for range c.New {
		l.all.Go(func() { l.work("new", l.getNew) })
	}
	for range c.Kept {
		l.all.Go(func() { l.work("kept", new(keeper).post) })
	}
	for range c.Idle {
		l.all.Go(l.stayIdle)
	}
	return l
}

// Since is how long the load has been at work.
func (l *Load) Since() time.Duration { return time.Since(l.began) }

// Requests is the number of those that have ended.
func (l *Load) Requests() int64 { return l.requests.Load() }

// Idle is the number of clients that are idle now, and IdleAnswers that of answers which idle clients have had: one for each connection.
func (l *Load) Idle() int64        { return l.idleNow.Load() }
func (l *Load) IdleAnswers() int64 { return l.idleAnswers.Load() }

// Stop ends the load, and waits for what is in flight. A second call returns the same.
func (l *Load) Stop() Result {
	l.ending.Store(true)
	l.stop.Do(func() { close(l.end) })
	l.mu.Lock()
	for c := range l.idle {
		_ = c.SetReadDeadline(time.Now())
	}
	l.mu.Unlock()
	l.all.Wait()
	return l.result
}

// work has do make requests, one after the other.
func (l *Load) work(kind string, do func(l *Load) error) {
	var done []Request
	var lost []Lost
	for !l.ending.Load() {
		began := time.Now()
		err := do(l)
		l.requests.Add(1)
		if at := began.Sub(l.began); err != nil {
			lost = append(lost, Lost{kind, at, plain(err)})
		} else {
			done = append(done, Request{at, time.Since(began)})
		}
		if l.config.Pause > 0 {
			select {
			case <-time.After(l.config.Pause):
			case <-l.end:
			}
		}
	}
	_ = do(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.result.Lost = append(l.result.Lost, lost...); kind == "new" {
		l.result.New = append(l.result.New, done...)
	} else {
		l.result.Kept = append(l.result.Kept, done...)
	}
}

// plain is err without the addresses, so that like is counted with like.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// patience bounds a request: one that takes longer is lost.
const patience = 20 * time.Second

func (l *Load) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	d.SetMultipathTCP(false)
	c, err := d.Dial("tcp", l.config.Addr)
	if err != nil {
		return nil, err
	}
	// Its client has no use for TIME_WAIT, and ports are few.
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.SetDeadline(time.Now().Add(patience))
	if l.config.TLS != nil {
		t := tls.Client(c, l.config.TLS)
		if err := t.Handshake(); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("handshake: %w", err)
		}
		return t, nil
	}
	return c, nil
}

// exchange sends a request and reads the answer. last says that it is the last of its connection.
func exchange(c net.Conn, r *bufio.Reader, request string) (last bool, err error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		return true, err
	}
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		return true, err
	}
	if _, err = io.Copy(io.Discard, a.Body); err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", a.StatusCode)
	}
	return a.Close || err != nil, err
}

func (l *Load) get() string { return "GET " + l.config.Path + " HTTP/1.1\r\nHost: test\r\n\r\n" }

// getNew is one request on a connection of its own.
func (l *Load) getNew(of *Load) error {
	if of == nil {
		return nil
	}
	c, err := l.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = exchange(c, bufio.NewReader(c), l.get())
	return err
}

// keeper is a client that keeps its connection.
type keeper struct {
	conn net.Conn
	r    *bufio.Reader
}

// post is one request on the connection, or on a new one if the last answer said that it was the last. Without a load it closes it.
func (k *keeper) post(l *Load) error {
	if l == nil {
		k.close()
		return nil
	}
	if k.conn == nil {
		c, err := l.dial()
		if err != nil {
			return err
		}
		k.conn, k.r = c, bufio.NewReader(c)
	}
	last, err := exchange(k.conn, k.r, "POST "+l.config.PostPath+" HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello")
	if last {
		k.close()
	}
	return err
}

func (k *keeper) close() {
	if k.conn != nil {
		_ = k.conn.Close()
	}
	k.conn = nil
}

// stayIdle has a connection that is used once, and another when the server has ended it.
func (l *Load) stayIdle() {
	for !l.ending.Load() {
		began := time.Now()
		c, err := l.dial()
		if err == nil {
			r := bufio.NewReader(c)
			var last bool
			if last, err = exchange(c, r, l.get()); err == nil {
				l.note(Request{began.Sub(l.began), time.Since(began)}, nil)
				if !last {
					l.await(c, r)
				}
			}
			_ = c.Close()
		}
		if err != nil {
			l.note(Request{}, &Lost{"idle", began.Sub(l.began), plain(err)})
		}
		l.requests.Add(1)
	}
}

func (l *Load) note(r Request, lost *Lost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost != nil {
		l.result.Lost = append(l.result.Lost, *lost)
	} else {
		l.result.Idle = append(l.result.Idle, r)
		l.idleAnswers.Add(1)
	}
}

// await waits for the end of a connection.
func (l *Load) await(c net.Conn, r *bufio.Reader) {
	_ = c.SetDeadline(time.Time{})
	l.mu.Lock()
	if l.ending.Load() {
		l.mu.Unlock()
		return
	}
	l.idle[c] = true
	l.mu.Unlock()
	l.idleNow.Add(1)
	_, _ = r.ReadByte()
	l.idleNow.Add(-1)
	l.mu.Lock()
	delete(l.idle, c)
	l.mu.Unlock()
}

// Window is a part of the time of a load.
type Window struct{ From, To time.Duration }

// Latency is that of the requests that began in windows.
type Latency struct {
	Requests                int
	Median, P99, P999, Most time.Duration
}

// Latency of the requests of a kind that began in one of the windows.
func LatencyOf(requests []Request, windows []Window) Latency {
	var took []time.Duration
	for _, r := range requests {
		if slices.ContainsFunc(windows, func(w Window) bool { return r.Began >= w.From && r.Began < w.To }) {
			took = append(took, r.Took)
		}
	}
	slices.Sort(took)
	at := func(share float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[min(int(share*float64(len(took))), len(took)-1)]
	}
	return Latency{len(took), at(0.5), at(0.99), at(0.999), at(1)}
}

func (l Latency) String() string {
	return fmt.Sprintf("%d requests, median %s, p99 %s, p99.9 %s, most %s", l.Requests, round(l.Median), round(l.P99), round(l.P999), round(l.Most))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
