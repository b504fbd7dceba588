//go:build linux

package poller

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

func TestMaxConns(t *testing.T) {
	const most, clients = 7, 50
	s := start(t, &Server{Loops: 3, MaxConns: most})
	// All connect, since the kernel queues what the server does not accept.
	var all []*client
	for range clients {
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		all = append(all, c)
	}
	answered := make(chan *client, clients)
	for _, c := range all {
		go func() {
			if _, err := c.in.Peek(1); err == nil {
				answered <- c
			}
		}()
	}
	for done := 0; done < clients; {
		var batch []*client
		for range min(most, clients-done) {
			select {
			case c := <-answered:
				batch = append(batch, c)
			case <-time.After(lingertest.Patience):
				t.Fatalf("after %d clients nobody is answered any more", done)
			}
		}
		// One that goes beyond the bound is counted until it is parked.
		lingertest.Wait(t, "no more are held than may be", func() bool { return s.run.admission.held.Load() <= most })
		select {
		case <-answered:
			t.Fatalf("more than %d connections are served at a time", most)
		default:
		}
		done += len(batch)
		for _, c := range batch {
			c.answer("GET")
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	lingertest.Wait(t, "all connections are gone", func() bool { return s.run.admission.held.Load() == 0 })
	s.dial(t).get("/")
}

// Connections that were accepted beyond the bound wait; those whose client leaves meanwhile count for nothing.
func TestParkedConnections(t *testing.T) {
	s := start(t, &Server{Loops: 1, MaxConns: 2})
	first, second := s.dial(t), s.dial(t)
	first.get("/")
	second.get("/")
	a := s.run.admission
	// What another loop has accepted before it heard of the pause.
	if err := s.run.port.Resume(); err != nil {
		t.Fatal(err)
	}
	third, fourth := s.dial(t), s.dial(t)
	third.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	fourth.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	parked := func(n int) func() bool {
		return func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return len(a.parked) == n
		}
	}
	lingertest.Wait(t, "two connections are parked", parked(2))
	_ = third.SetLinger(0)
	_ = third.Close()
	lingertest.Wait(t, "the one that left is forgotten", parked(1))
	if a.held.Load() != 2 {
		t.Errorf("%d connections held, want 2", a.held.Load())
	}
	_ = first.Close()
	fourth.answer("GET")
	if a.held.Load() != 2 {
		t.Errorf("%d connections held, want 2", a.held.Load())
	}
}

// useFiles opens files until the next number is n.
func useFiles(t *testing.T, n int) []*os.File {
	t.Helper()
	var files []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		if int(f.Fd()) >= n {
			f.Close()
			return files
		}
		files = append(files, f)
	}
}

// setFileLimit sets the soft limit for the rest of the test.
func setFileLimit(t *testing.T, n int) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
}

// A handler uses up the descriptors. The server pauses before an accept fails, and resumes when they are there again.
func TestShortOfDescriptors(t *testing.T) {
	setFileLimit(t, 1000)
	s := start(t, &Server{Loops: 2})
	a := s.run.admission
	limit := int(a.limit.Load())
	if limit != 1000-125 {
		t.Fatalf("the limit for connections is %d", limit)
	}
	files := useFiles(t, limit-10)
	closeFiles := func() {
		for _, f := range files {
			f.Close()
		}
		files = nil
	}
	defer closeFiles()
	var clients []*client
	for range 40 { // twice as many descriptors, since this process has the other ends too
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		clients = append(clients, c)
	}
	lingertest.Wait(t, "accepting pauses", a.paused.Load)
	lingertest.Wait(t, "it is logged", func() bool { return s.log.Contains("open files are near their limit") })
	if held := a.held.Load(); held > 12 {
		t.Errorf("%d connections were accepted", held)
	}
	closeFiles()
	for _, c := range clients {
		c.answer("GET")
	}
	lingertest.Wait(t, "it is logged", func() bool { return s.log.Contains("not near their limit any more") })
	s.dial(t).get("/")
	if s.log.Contains("ended unasked") {
		t.Error("an engine ended")
	}
}

// With descriptors short, clients that come and go are all served, and none of them makes an accept fail.
func TestShortOfDescriptorsUnderChurn(t *testing.T) {
	setFileLimit(t, 1000)
	s := start(t, &Server{Loops: 2})
	limit := int(s.run.admission.limit.Load())
	files := useFiles(t, limit-4)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for range 100 {
		var clients []*client
		for range 20 {
			c := s.dial(t)
			c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.answer("GET")
			c.wantEOF()
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	if s.log.Contains("ended unasked") {
		t.Error("an engine ended")
	}
}

// An accept that finds no free descriptor is put off, and nobody is lost.
func TestAcceptWithoutDescriptor(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	before := s.dial(t)
	before.get("/")
	a := s.run.admission
	a.limitDue.Store(1 << 62) // admission does not get to know of the lower limit in time
	low, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(low)
	setFileLimit(t, low+1) // room for the client alone: the lowest free number is its
	waiting := s.dial(t)
	lingertest.Wait(t, "accepting pauses", func() bool { return s.log.Contains("too many open files") && a.paused.Load() })
	before.get("/")
	waiting.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	setFileLimit(t, 10_000)
	if res, _ := waiting.answer("GET"); res.StatusCode != 200 {
		t.Errorf("got %s", res.Status)
	}
	before.get("/")
	if s.log.Contains("ended unasked") {
		t.Error("an engine ended")
	}
}

// An engine that ends unasked is followed by another on the same listener.
func TestEngineIsRestarted(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	c := s.dial(t)
	c.get("/")
	s.run.loops[0].post(s.run.loops[0].engine.End)
	// What it held did not end as if all were well.
	c.wantReset()
	s.dial(t).get("/")
	if !s.log.Contains("ended unasked") {
		t.Error("the end is not logged")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.assertGone(t)
}

// A server that cannot go on says so.
func TestEngineThatKeepsEnding(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	// accept(2) on such a socket fails with EINVAL.
	var err error
	s.run.port.Control(func(fd int) { err = unix.Shutdown(fd, unix.SHUT_RD) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.wait(t); !errors.Is(err, unix.EINVAL) || errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve() = %v, want an error that names the cause", err)
	}
	if rep := s.Report(); !rep.Complete() {
		t.Errorf("Report() = %s", rep)
	}
}

// A loop that a handler blocks does not keep the others from accepting what they would leave to it.
func TestStuckLoopLeavesConnectionsToOthers(t *testing.T) {
	release, blocked := make(chan struct{}), make(chan struct{})
	s := start(t, &Server{Loops: 2, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/block" {
			close(blocked)
			<-release
		}
	})})
	defer close(release)
	stuck := s.dial(t)
	stuck.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	<-blocked
	for range 500 {
		s.dial(t).get("/")
	}
	a := s.run.admission
	if held := a.held.Load(); held != 501 {
		t.Errorf("%d connections held, want 501", held)
	}
}

// Whoever waits for room gets that of connections on which nothing ever came, and of no others.
func TestSilentMakeRoom(t *testing.T) {
	interval, patience := crowdInterval, silentPatience
	crowdInterval, silentPatience = 10*time.Millisecond, 50*time.Millisecond
	t.Cleanup(func() { crowdInterval, silentPatience = interval, patience })
	const most = 6
	s := start(t, &Server{Loops: 2, MaxConns: most})
	idle, begun := s.dial(t), s.dial(t)
	idle.get("/")
	begun.send("GET / HT")
	silent := make([]*client, most-2)
	for i := range silent {
		silent[i] = s.dial(t)
	}
	lingertest.Wait(t, "all are taken in", func() bool { return s.run.admission.held.Load() == most })
	for range silent {
		c := s.dial(t)
		c.get("/")
		_ = c.SetLinger(0)
		_ = c.Close()
		lingertest.Wait(t, "its connection is gone", func() bool { return s.run.admission.held.Load() < most })
	}
	reset := func() (n int) {
		for _, c := range silent {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.in.Peek(1); errors.Is(err, unix.ECONNRESET) {
				n++
			}
		}
		return n
	}
	lingertest.Wait(t, "a silent client is told", func() bool { return reset() > 0 })
	idle.get("/")
	begun.send("TP/1.1\r\nHost: x\r\n\r\n")
	begun.answer("GET")
}

// As long as nobody waits, those that are silent stay.
func TestSilentStay(t *testing.T) {
	interval, patience := crowdInterval, silentPatience
	crowdInterval, silentPatience = time.Millisecond, time.Millisecond
	t.Cleanup(func() { crowdInterval, silentPatience = interval, patience })
	const most = 3
	s := start(t, &Server{Loops: 1, MaxConns: most})
	all := make([]*client, most)
	for i := range all {
		all[i] = s.dial(t)
	}
	lingertest.Wait(t, "accepting is paused", func() bool { return s.run.admission.paused.Load() })
	for range 20 { // each behind a look, as a rule
		done := make(chan struct{})
		time.AfterFunc(2*time.Millisecond, func() { s.run.loops[0].post(func() { close(done) }) })
		<-done
	}
	for _, c := range all {
		c.get("/")
	}
}
