//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/tcpsock"
)

// server is a Handler that writes down what happens.
type server struct {
	t      *testing.T
	loop   *Loop
	port   *Port
	addr   string
	ready  chan struct{}
	result chan error

	// What a test wants; on the loop.
	accepted func(*session) (open bool)
	received func(*session, []byte) (open bool)
	passes   bool

	mu       sync.Mutex // guards what follows
	happened []string
	sessions []*session
}

type session struct {
	*server
	Conn
	number int
}

// newServer returns a server that does not run yet.
func newServer(t *testing.T) *server {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	lingertest.Must(t, err)
	s := &server{t: t, addr: ln.Addr().String(), ready: make(chan struct{}), result: make(chan error, 1)}
	var fd int
	lingertest.Control(t, ln.(*net.TCPListener), func(from int) (err error) {
		fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	lingertest.Must(t, ln.Close())
	s.port, err = NewPort(fd)
	lingertest.Must(t, err)
	s.loop = NewLoop(s.port, s)
	s.accepted = func(*session) bool { return true }
	s.received = func(*session, []byte) bool { return true }
	t.Cleanup(func() {
		lingertest.Must(t, s.port.GiveUp(func(int) {}))
		s.port.Close()
	})
	return s
}

// run runs the loop until the end of the test.
func (s *server) run() *server {
	s.t.Helper()
	go func() { s.result <- s.loop.Run(func() { close(s.ready) }) }()
	<-s.ready
	s.t.Cleanup(func() {
		if s.loop.Post(s.loop.End) {
			lingertest.Must(s.t, <-s.result)
		}
	})
	return s
}

// end ends the loop.
func (s *server) end() {
	s.t.Helper()
	if !s.loop.Post(s.loop.End) {
		s.t.Fatal("the loop does not run")
	}
	lingertest.Must(s.t, <-s.result)
}

func (s *server) Accepted(c Conn) (Session, bool) {
	s.mu.Lock()
	x := &session{server: s, Conn: c, number: len(s.sessions)}
	s.sessions = append(s.sessions, x)
	s.mu.Unlock()
	return x, s.accepted(x)
}

func (s *server) AcceptFailed(err error) bool {
	s.note("failed %v", errors.Unwrap(err))
	return s.passes
}

func (x *session) Received(data []byte) bool {
	x.note("%d received %s", x.number, data)
	return x.received(x, data)
}

func (x *session) Closed(by Closer) {
	if _, err := unix.FcntlInt(uintptr(x.FD), unix.F_GETFD, 0); err != nil {
		x.t.Errorf("the descriptor is closed already: %v", err)
	}
	x.note("%d closed %s", x.number, []string{"here", "there"}[by])
}

func (s *server) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.happened = append(s.happened, fmt.Sprintf(format, args...))
}

// want waits until this has happened, in this order, and nothing else.
func (s *server) want(want ...string) {
	s.t.Helper()
	var got []string
	lingertest.Wait(s.t, fmt.Sprintf("%q happens", want), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = slices.Clone(s.happened)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		s.t.Errorf("this happened: %q, want %q", got, want)
	}
}

// dial connects, and returns when the loop has accepted.
func (s *server) dial() (*net.TCPConn, *session) {
	s.t.Helper()
	s.mu.Lock()
	n := len(s.sessions)
	s.mu.Unlock()
	c, err := net.Dial("tcp", s.addr)
	lingertest.Must(s.t, err)
	s.t.Cleanup(func() { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() })
	var x *session
	lingertest.Wait(s.t, "it is accepted", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.sessions) > n {
			x = s.sessions[n]
		}
		return x != nil
	})
	return c.(*net.TCPConn), x
}

// do runs f on the loop.
func (s *server) do(f func()) {
	s.t.Helper()
	done := make(chan struct{})
	if !s.loop.Post(func() { f(); close(done) }) {
		s.t.Fatal("the loop does not run")
	}
	<-done
}

// held runs f while the loop is in a task, so that all that f brings about comes to the loop at once.
func (s *server) held(f func()) {
	s.t.Helper()
	in, goOn := make(chan struct{}), make(chan struct{})
	s.loop.Post(func() { close(in); <-goOn })
	<-in
	f()
	close(goOn)
}

func write(t *testing.T, c io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	lingertest.Must(t, err)
}

func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	lingertest.Must(t, c.SetLinger(0))
	lingertest.Must(t, c.Close())
}

func TestWhatHappensToAConnection(t *testing.T) {
	s := newServer(t).run()
	a, x := s.dial()
	if got := x.RemoteAddr().String(); got != a.LocalAddr().String() {
		s.do(func() { got = x.RemoteAddr().String() })
		t.Errorf("RemoteAddr = %s, want %s", got, a.LocalAddr())
	}
	write(t, a, "hello")
	s.want("0 received hello")
	lingertest.Must(t, a.CloseWrite())
	s.want("0 received hello", "0 closed there")
	b, _ := s.dial()
	reset(t, b)
	s.want("0 received hello", "0 closed there", "1 closed there")
}

func TestWant(t *testing.T) {
	s := newServer(t).run()
	a, x := s.dial()
	lingertest.Must(t, x.Want(false))
	lingertest.Must(t, x.Want(true)) // before anything has come
	write(t, a, "one")
	s.want("0 received one")
	lingertest.Must(t, x.Want(false))
	write(t, a, "two")
	lingertest.Wait(t, "nothing is polled for any more", func() bool { return x.e.input.Load() == 0 })
	b, _ := s.dial()
	write(t, b, "three")
	s.want("0 received one", "1 received three")
	lingertest.Must(t, x.Want(true))
	s.want("0 received one", "1 received three", "0 received two")
	lingertest.Must(t, x.Want(false))
	reset(t, a) // which is told all the same
	s.want("0 received one", "1 received three", "0 received two", "0 closed there")
	c, y := s.dial()
	lingertest.Must(t, y.Want(false))
	lingertest.Must(t, c.CloseWrite()) // which is input
	lingertest.Wait(t, "nothing is polled for any more", func() bool { return y.e.input.Load() == 0 })
	lingertest.Must(t, y.Want(true))
	s.want("0 received one", "1 received three", "0 received two", "0 closed there", "2 closed there")
}

// What is wanted again just as input comes is read, whoever is first.
func TestWantFromElsewhere(t *testing.T) {
	s := newServer(t)
	got := make(chan struct{}, 1)
	s.received = func(x *session, _ []byte) bool {
		lingertest.Must(t, x.Want(false))
		got <- struct{}{}
		return true
	}
	s.run()
	c, x := s.dial()
	for range 2000 {
		go write(t, c, "x")
		<-got
		lingertest.Must(t, x.Want(true))
	}
}

func TestNotToStayOpen(t *testing.T) {
	s := newServer(t)
	s.accepted = func(x *session) bool { return x.number > 0 }
	s.received = func(*session, []byte) bool { return false }
	s.run()
	_, x := s.dial()
	s.want("0 closed here")
	b, _ := s.dial()
	write(t, b, "x")
	s.want("0 closed here", "1 received x", "1 closed here")
	_, y := s.dial()
	s.do(func() {
		x.Close() // is no more
		y.Close()
	})
	s.want("0 closed here", "1 received x", "1 closed here", "2 closed here")
}

// Tasks run in their order and before the loop looks at its connections; those that wait at the end are dropped.
func TestTasks(t *testing.T) {
	s := newServer(t)
	if s.loop.Post(func() {}) {
		t.Error("Post before Run is taken")
	}
	s.run()
	c, x := s.dial()
	s.held(func() {
		write(t, c, "hello")
		lingertest.Wait(t, "it is there", func() bool {
			n, err := unix.IoctlGetInt(x.FD, unix.SIOCINQ)
			return err == nil && n > 0
		})
		for i := range 3 {
			s.loop.Post(func() {
				s.note("task %d", i)
				if i == 0 {
					s.loop.Post(func() { s.note("posted by a task") })
				}
			})
		}
	})
	s.want("task 0", "task 1", "task 2", "posted by a task", "0 received hello")
	dropped := true
	s.held(func() {
		s.loop.Post(s.loop.End)
		s.loop.Post(func() { dropped = false })
	})
	lingertest.Must(t, <-s.result)
	if !dropped {
		t.Error("a task runs after End")
	}
	if s.loop.Post(func() {}) {
		t.Error("Post after Run is taken")
	}
	s.want("task 0", "task 1", "task 2", "posted by a task", "0 received hello", "0 closed here")
}

// Many goroutines post, and no task is lost.
func TestPostFromEverywhere(t *testing.T) {
	s := newServer(t).run()
	const goroutines, each = 8, 1000
	n := 0
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				s.loop.Post(func() { n++ })
			}
		})
	}
	all.Wait()
	s.do(func() {
		if n != goroutines*each {
			t.Errorf("%d tasks ran, want %d", n, goroutines*each)
		}
	})
}

func TestEndLeavesNothing(t *testing.T) {
	for _, pollsNothing := range []bool{false, true} {
		before := lingertest.Descriptors()
		s := newServer(t)
		for range 2 { // it can run again
			s.ready, s.happened, s.sessions = make(chan struct{}), nil, nil
			go func() { s.result <- s.loop.Run(func() { close(s.ready) }) }()
			<-s.ready
			var clients []*net.TCPConn
			for range 3 {
				c, _ := s.dial()
				clients = append(clients, c)
			}
			if pollsNothing {
				s.held(func() {
					s.loop.Post(func() {
						lingertest.Must(t, s.loop.PollNothing())
						s.loop.End()
					})
				})
				lingertest.Must(t, <-s.result)
			} else {
				s.end()
			}
			slices.Sort(s.happened)
			s.want("0 closed here", "1 closed here", "2 closed here")
			for _, c := range clients {
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("a client reads %v, want EOF", err)
				}
				reset(t, c)
			}
		}
		lingertest.Must(t, s.port.GiveUp(func(int) {}))
		if err := s.loop.Run(func() { t.Error("it is ready without a port") }); err != nil {
			t.Errorf("Run without a port = %v", err)
		}
		if left := lingertest.NewDescriptors(before); len(left) != 1 { // the empty socket
			t.Errorf("left: %q", left)
		}
	}
}

// A listener that is no good ends the loop, with the reason.
func TestAcceptFails(t *testing.T) {
	s := newServer(t)
	s.ready = make(chan struct{})
	go func() { s.result <- s.loop.Run(func() { close(s.ready) }) }()
	<-s.ready
	s.dial()
	s.port.Control(func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })
	if err := <-s.result; !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Run = %v, want EINVAL", err)
	}
	s.want("failed invalid argument", "0 closed here")
}

// An event of a connection that another one has closed does not reach the one that has its number by then.
func TestNumbersComeAgain(t *testing.T) {
	s := newServer(t)
	var b *session
	s.received = func(x *session, data []byte) bool {
		if string(data) == "close the other" {
			b.Close()
		}
		return true
	}
	s.run()
	first, _ := s.dial()
	second, x := s.dial()
	b = x
	var third net.Conn
	s.held(func() {
		write(t, first, "close the other")
		var err error
		third, err = net.Dial("tcp", s.addr)
		lingertest.Must(t, err)
		t.Cleanup(func() { reset(t, third.(*net.TCPConn)) })
		write(t, second, "for nobody")
	})
	write(t, third, "hello")
	s.want("0 received close the other", "1 closed here", "2 received hello")
	if s.sessions[2].FD != b.FD {
		t.Errorf("the third has descriptor %d, want %d, or this test shows nothing", s.sessions[2].FD, b.FD)
	}
}

// A connection that has moved to another descriptor is nothing to the loop.
func TestVacate(t *testing.T) {
	s := newServer(t).run()
	c, x := s.dial()
	dup, err := unix.FcntlInt(uintptr(x.FD), unix.F_DUPFD_CLOEXEC, 0)
	lingertest.Must(t, err)
	defer unix.Close(dup)
	lingertest.Must(t, s.port.Vacate(x.Conn))
	write(t, c, "hello")
	s.do(func() { x.Close() })
	s.want("0 closed here")
	b := make([]byte, 10)
	lingertest.Wait(t, "it can be read", func() bool {
		n, err := unix.Read(dup, b)
		return err == nil && string(b[:n]) == "hello"
	})
}

// Loops that share a port all accept, and one that is held leaves clients to the others.
func TestLoopsShareAPort(t *testing.T) {
	s := newServer(t).run()
	other := newServer(t)
	other.loop = NewLoop(s.port, other)
	other.run()
	for range 40 {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", s.addr)
		lingertest.Must(t, err)
		defer reset(t, c.(*net.TCPConn))
	}
	lingertest.Wait(t, "all are accepted", func() bool { return s.port.Accepts() == 40 })
	if a, b := s.loop.live.Load(), other.loop.live.Load(); a == 0 || b == 0 {
		t.Errorf("the loops have %d and %d connections", a, b)
	}
}

// A loop that always finds something to do keeps its processor from nobody.
func TestOthersHaveTheProcessor(t *testing.T) {
	s := newServer(t).run()
	client, _ := s.dial()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const most = 1000 // which takes the loop less than the 10 ms after which the runtime steps in
	var ran atomic.Bool
	rounds, done := 0, make(chan int, 1)
	var fd int
	lingertest.Control(t, client, func(of int) error { fd = of; return nil })
	s.do(func() {
		s.received = func(_ *session, data []byte) bool {
			if rounds++; rounds == 1 {
				go ran.Store(true)
			}
			if ran.Load() || rounds == most {
				done <- rounds
				return true
			}
			_, err := tcpsock.Send(fd, data) // so that there is more before the loop looks again
			return err == nil
		}
	})
	write(t, client, "x")
	if n := <-done; n > 10 {
		t.Errorf("a goroutine had its turn behind %d rounds of the loop", n)
	}
}
