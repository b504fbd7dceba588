//go:build linux

package poller

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

var (
	schedules    = flag.Int("schedules", 0, "random schedules that TestSchedules runs; 0: 60 with -short, else 1000")
	scheduleSeed = flag.Uint64("schedule-seed", 0, "the one schedule that TestSchedules is to run again")
)

// TestSchedules lets go of the port in random ways, several at a time, against traffic of every kind. Whatever the order of
// events: nothing is left, every client is told, and no answer ends in order before it is whole. A failure names its seed.
func TestSchedules(t *testing.T) {
	if *scheduleSeed != 0 {
		runSchedule(t, *scheduleSeed)
		return
	}
	n := *schedules
	if n == 0 {
		n = lingertest.Times(60, 1000)
	}
	base := rand.Uint64()
	t.Logf("seeds from %d on", base)
	for i := range n {
		seed := base + uint64(i)
		if runSchedule(t, seed); t.Failed() {
			t.Fatalf("replay: go test -race -run TestSchedules ./poller -schedule-seed %d", seed)
		}
	}
}

// schedule is one random run.
type schedule struct {
	t    *testing.T
	s    *served
	rng  *rand.Rand // of the goroutine that sets the schedule up
	over chan struct{}

	mu   sync.Mutex // guards what follows
	said []string   // what clients have to complain of
}

func (s *schedule) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func runSchedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &schedule{t: t, rng: rng, over: make(chan struct{})}
	s.s = start(t, &Server{
		Loops:       1 + rng.IntN(2),
		MaxHandlers: rng.IntN(2) * 3,
		OnLoop:      func(r *httpcodec.Request) bool { return bytes.HasPrefix(r.Path, []byte("/loop")) },
		LoopHandler: LoopHandlerFunc(s.answerOnLoop),
		Handler:     http.HandlerFunc(s.answer),
		LoopContent: func(*httpcodec.Request) int64 { return 1 << 20 },
		StuckGrace:  lingertest.Patience,
		// None of these may come in the way of a client that does what it should.
		MaxConns:       rng.IntN(2) * (3 + rng.IntN(10)),
		HandlerTimeout: time.Duration(rng.IntN(2)) * lingertest.Patience,
		WriteTimeout:   []time.Duration{0, -1, 50 * time.Millisecond}[rng.IntN(3)],
		Logger:         slog.New(slog.DiscardHandler), // or a thousand logs would hide what went wrong
	})
	kinds := []func(*traffic){
		(*traffic).fresh, (*traffic).half, (*traffic).keepAlive, (*traffic).slow, (*traffic).download, (*traffic).upload,
		(*traffic).upgrade, (*traffic).pipeline, (*traffic).halfClosed, (*traffic).oldClient, (*traffic).dialStorm,
		(*traffic).stalled, (*traffic).expect, (*traffic).head, (*traffic).leaves,
	}
	var clients, callers sync.WaitGroup
	for range 4 + rng.IntN(12) {
		c := &traffic{schedule: s, rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
		kind := kinds[rng.IntN(len(kinds))]
		clients.Go(func() { kind(c) })
	}
	var calls []string
	for i := range 1 + rng.IntN(3) {
		name, call := s.letGo(rng)
		calls = append(calls, name)
		delay := time.Duration(rng.ExpFloat64() * float64(2*time.Millisecond))
		callers.Go(func() {
			time.Sleep(delay) // what is random about the schedule, and nothing waits for it
			if err := call(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				s.complain("%s = %v", calls[i], err)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		callers.Wait()
		close(s.over) // clients of a released server come to an end
		// A call by a handler may not have got through.
		_ = s.s.Release()
		<-s.s.result
		s.s.result <- ErrServerClosed
		clients.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(2 * lingertest.Patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("seed %d: %v does not come to an end\n%s\n%s", seed, calls, s.s.Report(), buf[:runtime.Stack(buf, true)])
	}
	rep := s.s.Report()
	if !rep.Complete() {
		s.complain("the report is not complete")
	}
	s.checkPort()
	if len(s.said) > 0 {
		t.Errorf("seed %d, %v:\n%s\n%s", seed, calls, strings.Join(s.said, "\n"), rep)
	}
}

// letGo chooses a way of letting go.
func (s *schedule) letGo(rng *rand.Rand) (name string, call func() error) {
	limit := time.Duration(rng.ExpFloat64() * float64(10*time.Millisecond))
	switch rng.IntN(6) {
	case 0:
		return "Close", s.s.Close
	case 1:
		return "Release", s.s.Release
	case 2:
		return "a handler's Close", s.byHandler("/close")
	case 3:
		return "a handler's Release", s.byHandler("/release")
	case 4:
		return "a handler's Shutdown", s.byHandler("/shutdown")
	default:
		return "Shutdown within " + limit.String(), func() error {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			return s.s.Shutdown(ctx)
		}
	}
}

// byHandler lets go in a handler.
func (s *schedule) byHandler(target string) func() error {
	return func() error {
		conn, err := net.DialTimeout("tcp", s.s.addr.String(), lingertest.Patience)
		if err != nil {
			return nil // another was faster
		}
		defer conn.Close()
		if s.s.tls != nil {
			conn = tls.Client(conn, s.s.tls)
		}
		// Beyond MaxConns it may have to wait for those that wait for the end of the calls.
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		_, _ = io.ReadAll(conn)
		return nil
	}
}

// checkPort looks at the kernel's table, at once: this process has no socket on the port any more. What ordinary closes have left
// there has no descriptor; and the port is free, so another process may have it by now.
func (s *schedule) checkPort() {
	dump, err := sockdiag.Port(s.s.addr.Port())
	if err != nil {
		s.t.Fatal(err)
	}
	holders, _, err := dump.Holders()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range holders {
		if h.PID == os.Getpid() {
			s.complain("left on the port: %s from %s, descriptor %d", h.Socket.State, h.Socket.Remote, h.FD)
		}
	}
	for _, socket := range dump.Sockets {
		if socket.State == sockdiag.Established && socket.Inode == 0 && len(holders) == 0 {
			s.complain("left on the port: %s from %s, which nobody has accepted", socket.State, socket.Remote)
		}
	}
}

const answerSize = 300_000

func (s *schedule) answerOnLoop(w *Responder, r *Request) {
	n, _ := strconv.ParseInt(string(r.Query), 10, 64)
	w.SetContent(pattern{}, n+int64(len(r.Body)))
}

func (s *schedule) answer(w http.ResponseWriter, r *http.Request) {
	srv := r.Context().Value(http.ServerContextKey).(*Server)
	n, _ := strconv.ParseInt(r.URL.RawQuery, 10, 64)
	switch r.URL.Path {
	case "/slow":
		select {
		case <-time.After(time.Duration(n) * time.Microsecond):
		case <-r.Context().Done():
		}
		_, _ = io.CopyN(w, pattern{}, n)
	case "/stream":
		for left := n; left > 0; left -= 10_000 {
			if _, err := io.CopyN(w, pattern{}, min(left, 10_000)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			runtime.Gosched()
		}
	case "/upload":
		m, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.CopyN(w, pattern{}, m)
	case "/upgrade":
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		// Where there are few workers, it is not for this one to stay.
		go func() {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
			_, _ = io.Copy(conn, rw)
			_ = conn.Close()
		}()
	case "/close":
		_ = srv.Close()
	case "/release":
		_ = srv.Release()
	case "/shutdown":
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_ = srv.Shutdown(ctx)
	default:
		_, _ = io.CopyN(w, pattern{}, n)
	}
}

// traffic is one client of a schedule. It is used by one goroutine.
type traffic struct {
	*schedule
	rng  *rand.Rand
	conn interface {
		net.Conn
		CloseWrite() error
	}
	tcp *net.TCPConn
	in  *bufio.Reader
	// answers is how many came whole. Before the first one no end is in order, as the client has asked for it.
	answers int
}

// dial connects, or tells that the port refuses.
func (c *traffic) dial() bool {
	conn, err := net.Dial("tcp", c.s.addr.String())
	if err != nil {
		return false
	}
	c.tcp = conn.(*net.TCPConn)
	if c.conn = c.tcp; c.s.tls != nil {
		c.conn = tls.Client(conn, c.s.tls)
	}
	c.in = bufio.NewReader(c.conn)
	_ = conn.SetDeadline(time.Now().Add(lingertest.Patience))
	return true
}

func (c *traffic) close() { _ = c.conn.Close() }

func (c *traffic) send(s string) bool {
	_, err := io.WriteString(c.conn, s)
	return err == nil
}

// answer reads one answer with n bytes of content. It reports whether it came whole and another can follow. A reset is as good
// an end as any; an end in order is not, but before the first byte.
func (c *traffic) answer(n int64) (another bool) {
	switch _, err := c.in.Peek(1); {
	case err == io.EOF && c.answers > 0:
		return false
	case err != nil:
		c.broken("before it began", err)
		return false
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.broken("in the head", err)
		return false
	}
	got, err := io.Copy(io.Discard, res.Body)
	if err != nil {
		c.broken(fmt.Sprintf("after %d of %d bytes", got, n), err)
		return false
	}
	if res.StatusCode != 200 || got != n {
		c.complain("%s with %d bytes, want 200 with %d", res.Status, got, n)
		return false
	}
	c.answers++
	return !res.Close
}

// broken judges an error in the middle of an answer.
func (c *traffic) broken(where string, err error) {
	if !errors.Is(err, unix.ECONNRESET) {
		c.complain("an answer ended %s with %v in place of ECONNRESET", where, err)
	}
}

// untilOver waits for the end of the connection, and ends it itself when all calls have been made.
func (c *traffic) untilOver() {
	done := make(chan struct{})
	go func() {
		select {
		case <-c.over:
			_, _ = c.conn.CloseWrite(), c.tcp.CloseWrite()
		case <-done:
		}
	}()
	_, err := io.Copy(io.Discard, c.in)
	close(done)
	itself := c.s.tls != nil && errors.Is(err, unix.EPIPE) // it has closed its side in its own handshake
	if err != nil && !errors.Is(err, unix.ECONNRESET) && !itself {
		c.complain("a client was not told of the end: %v", err)
	}
	c.close()
}

func (c *traffic) fresh() {
	if c.dial() {
		c.untilOver()
	}
}

func (c *traffic) half() {
	if c.dial() {
		c.send("GET /loop HTTP/1.1\r\nHo")
		c.untilOver()
	}
}

// get sends requests one after the other until the end, or until there were enough.
func (c *traffic) get(request string, n int64) {
	if !c.dial() {
		return
	}
	for range 1 + c.rng.IntN(20) {
		if !c.send(request) || !c.answer(n) {
			break
		}
	}
	if c.rng.IntN(2) == 0 {
		c.close()
		return
	}
	c.untilOver()
}

func (c *traffic) size() int64 { return c.rng.Int64N(answerSize) }

func (c *traffic) keepAlive() {
	n := int64(c.rng.IntN(5000))
	where := []string{"/loop", "/pool"}[c.rng.IntN(2)]
	c.get(fmt.Sprintf("GET %s?%d HTTP/1.1\r\nHost: x\r\n\r\n", where, n), n)
}

func (c *traffic) slow() {
	n := int64(c.rng.IntN(8000))
	c.get(fmt.Sprintf("GET /slow?%d HTTP/1.1\r\nHost: x\r\n\r\n", n), n)
}

func (c *traffic) download() {
	n := c.size()
	where := []string{"/loop", "/pool", "/stream"}[c.rng.IntN(3)]
	c.get(fmt.Sprintf("GET %s?%d HTTP/1.1\r\nHost: x\r\n\r\n", where, n), n)
}

func (c *traffic) upload() {
	n := c.size()
	where := []string{"/loop", "/upload"}[c.rng.IntN(2)]
	c.get(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", where, n, strings.Repeat("x", int(n))), n)
}

func (c *traffic) oldClient() {
	n := c.size()
	where := []string{"/loop", "/pool"}[c.rng.IntN(2)]
	if !c.dial() {
		return
	}
	defer c.close()
	// Without a length the end of the connection is that of the answer.
	if !c.send(fmt.Sprintf("GET %s?%d HTTP/1.0\r\n\r\n", where, n)) {
		return
	}
	c.answer(n)
}

func (c *traffic) halfClosed() {
	n := c.size()
	if !c.dial() {
		return
	}
	defer c.close()
	if c.send(fmt.Sprintf("GET /pool?%d HTTP/1.1\r\nHost: x\r\n\r\n", n)) && c.conn.CloseWrite() == nil {
		c.answer(n)
	}
}

func (c *traffic) pipeline() {
	if !c.dial() {
		return
	}
	var sizes []int64
	var batch strings.Builder
	for range 1 + c.rng.IntN(20) {
		n := int64(c.rng.IntN(20_000))
		sizes = append(sizes, n)
		fmt.Fprintf(&batch, "GET %s?%d HTTP/1.1\r\nHost: x\r\n\r\n", []string{"/loop", "/pool"}[c.rng.IntN(2)], n)
	}
	more := c.send(batch.String())
	for _, n := range sizes {
		more = more && c.answer(n)
	}
	c.untilOver()
}

func (c *traffic) upgrade() {
	if !c.dial() {
		return
	}
	if !c.send("GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n") {
		c.close()
		return
	}
	if _, err := http.ReadResponse(c.in, nil); err == nil && c.send("hello") {
		_, _ = io.ReadFull(c.in, make([]byte, 5))
	}
	c.untilOver()
}

// stalled reads nothing of its answer until all calls have been made.
func (c *traffic) stalled() {
	if !c.dial() {
		return
	}
	defer c.close()
	n := int64(10 << 20)
	where := []string{"/loop", "/pool"}[c.rng.IntN(2)]
	if c.send(fmt.Sprintf("GET %s?%d HTTP/1.1\r\nHost: x\r\n\r\n", where, n)) {
		<-c.over
		c.answer(n)
	}
}

func (c *traffic) expect() {
	n := c.size()
	if !c.dial() {
		return
	}
	defer c.close()
	if !c.send(fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", n)) {
		return
	}
	if n == 0 {
		c.answer(n)
		return
	}
	if res, err := http.ReadResponse(c.in, nil); err != nil || res.StatusCode != 100 {
		return
	}
	if c.send(strings.Repeat("x", int(n))) {
		c.answer(n)
	}
}

func (c *traffic) head() {
	if !c.dial() {
		return
	}
	defer c.close()
	for range 1 + c.rng.IntN(5) {
		if !c.send("HEAD /pool?5000 HTTP/1.1\r\nHost: x\r\n\r\n") {
			return
		}
		res, err := http.ReadResponse(c.in, &http.Request{Method: "HEAD"})
		if err != nil || res.Close {
			return
		}
	}
}

// leaves resets its connection at some time.
func (c *traffic) leaves() {
	if !c.dial() {
		return
	}
	c.send([]string{"GET /slow?5000 HTTP/1.1\r\nHost: x\r\n\r\n", "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"GET /pool?3000000 HTTP/1.1\r\nHost: x\r\n\r\n"}[c.rng.IntN(3)])
	time.Sleep(time.Duration(c.rng.IntN(5000)) * time.Microsecond) // as random as the rest of the schedule
	_ = c.tcp.SetLinger(0)
	c.close()
}

// dialStorm connects until the port refuses, or all calls have been made.
func (c *traffic) dialStorm() {
	for range 200 {
		select {
		case <-c.over:
			return
		default:
		}
		if !c.dial() {
			return
		}
		if c.rng.IntN(2) == 0 && c.send("GET /loop?5 HTTP/1.1\r\nHost: x\r\n\r\n") {
			c.answer(5)
		}
		c.close()
	}
}
