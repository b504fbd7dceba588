//go:build linux

package poller

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

const turnLoops, turnConns = 16, 400

// owners counts the connections of each loop.
type owners struct {
	mu sync.Mutex
	n  map[int]int
}

func (o *owners) ServeLoop(w *Responder, r *Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = make(map[int]int)
	}
	o.n[r.conn.loop.index]++
}

// take returns what was counted, and forgets it.
func (o *owners) take() map[int]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.n
	o.n = nil
	return n
}

// wantShares checks that no loop has more than twice its share of n connections.
func (o *owners) wantShares(t testing.TB, n, loops int) {
	t.Helper()
	total, all := 0, o.take()
	for loop, got := range all {
		if total += got; got > 2*n/loops {
			t.Errorf("loop %d has %d of %d connections, want %d at most: %v", loop, got, n, 2*n/loops, all)
		}
	}
	if total != n {
		t.Errorf("%d connections, want %d", total, n)
	}
}

// Loops take turns at accepting: clients that come one after the other, and stay or leave, and those that come all at once.
func TestLoopsTakeTurns(t *testing.T) {
	var o owners
	s := start(t, &Server{Loops: turnLoops, LoopHandler: &o})
	s.run.lookout.stop() // on a busy machine it takes a loop for stuck that is not
	t.Run("staying", func(t *testing.T) {
		for range turnConns {
			s.dial(t).get("/")
		}
		o.wantShares(t, turnConns, turnLoops)
	})
	lingertest.Wait(t, "they are gone", func() bool { return s.run.live.Load() == 0 })
	t.Run("leaving", func(t *testing.T) {
		for range turnConns {
			c := s.dial(t)
			c.get("/")
			_ = c.SetLinger(0)
			_ = c.Close()
		}
		o.wantShares(t, turnConns, turnLoops)
	})
	lingertest.Wait(t, "they are gone", func() bool { return s.run.live.Load() == 0 })
	t.Run("a burst", func(t *testing.T) {
		// All of them are in the queue before a loop gets to the first.
		if err := s.run.port.Pause(); err != nil {
			t.Fatal(err)
		}
		var clients []*client
		for range turnConns {
			clients = append(clients, s.dial(t))
		}
		if err := s.run.port.Resume(); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			c.get("/")
		}
		o.wantShares(t, turnConns, turnLoops)
	})
}

// A loop that has fewer connections, since its clients have left, gets the next ones.
func TestLoopThatIsBehindCatchesUp(t *testing.T) {
	var o owners
	s := start(t, &Server{Loops: 2, LoopHandler: &o})
	s.run.lookout.stop()
	const n = 100
	var stay, leave []*client
	for range 2 * n {
		c := s.dial(t)
		c.get("/")
		if o.take()[0] == 1 {
			leave = append(leave, c)
		} else {
			stay = append(stay, c)
		}
	}
	for _, c := range leave {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	lingertest.Wait(t, "those of the first loop have left", func() bool { return s.run.live.Load() == int64(len(stay)) })
	for range n / 2 {
		s.dial(t).get("/")
	}
	if got := o.take(); got[1] > n/4 { // it may take its part of the round that has begun
		t.Errorf("connections went to the loops like this: %v, of which the second has %d, and the first has lost %d", got, len(stay), len(leave))
	}
}

// While the port is paused nothing changes who is to accept next.
func TestLoopsTakeTurnsAfterAPause(t *testing.T) {
	var o owners
	s := start(t, &Server{Loops: 4, LoopHandler: &o})
	s.run.lookout.stop()
	if err := s.run.port.Pause(); err != nil {
		t.Fatal(err)
	}
	waiting := s.dial(t)
	for range 20 { // as the lookout does, with a client in the queue
		if err := s.run.port.Rouse(4); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.run.port.Resume(); err != nil {
		t.Fatal(err)
	}
	waiting.get("/")
	for range 199 {
		s.dial(t).get("/")
	}
	o.wantShares(t, 200, 4)
}

// A round does not wait for a loop that is stuck, however many connections the others have by then.
func TestRoundsDoNotWaitForAStuckLoop(t *testing.T) {
	release, blocked := make(chan struct{}), make(chan struct{})
	s := start(t, &Server{Loops: 2, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/block" {
			close(blocked)
			<-release
		}
	})})
	defer close(release)
	s.dial(t).send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	<-blocked
	for range 20 { // some wait until it is known to be stuck
		s.dial(t).get("/")
	}
	s.run.lookout.stop()
	for range lingertest.Times(300, 3000) {
		s.dial(t).get("/")
	}
}

// A client that the kernel has given to somebody who was woken and does not accept, such as a process that is killed just then, is
// not left waiting.
func TestClientOfAWaiterThatDoesNotAccept(t *testing.T) {
	ln := listenAlone(t)
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(f.Fd()), &ev); err != nil { // the first in the kernel's list
		t.Fatal(err)
	}
	s := startOn(t, &Server{Loops: 2}, ln)
	// It waits, and does nothing when it is woken. An event that it has missed is gone when it looks again.
	var woken atomic.Int32
	stop := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n, _ := unix.EpollWait(epoll, make([]unix.EpollEvent, 1), 10); n > 0 {
				woken.Add(1)
			}
		}
	})
	defer waiter.Wait()
	defer close(stop)
	lingertest.Wait(t, "clients that are answered, with the other one woken for some", func() bool {
		s.dial(t).get("/")
		return woken.Load() > 5
	})
	f.Close()
}

// A loop that another one is quicker than at accepting does not block, whoever makes the file of the socket blocking, and does not
// keep the port.
func TestLoopsThatBlockInAccept(t *testing.T) {
	ln := listenAlone(t)
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	var hooked sync.Map
	s := startOn(t, &Server{Loops: 4, ConnOpened: func(c Conn) { hooked.Store(c.Remote, true) }}, ln)
	idle := make([]*client, 8)
	for i := range idle {
		idle[i] = s.dial(t)
		idle[i].get("/")
	}
	known := len(idle)
	for range 50 {
		// All loops look, and find a client or two; the others' accepts find nothing.
		if err := unix.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
		var burst sync.WaitGroup
		for range 2 {
			burst.Go(func() {
				c, err := net.Dial("tcp", s.addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			})
			known++
		}
		if err := s.run.port.Rouse(4); err != nil {
			t.Fatal(err)
		}
		burst.Wait()
		for _, c := range idle {
			c.get("/")
		}
	}
	opened := 0
	hooked.Range(func(any, any) bool { opened++; return true })
	if opened > known {
		t.Errorf("hooks were told of %d connections, want %d at most: the server's own are nobody's business", opened, known)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	s.assertGone(t)
}

// A client wakes one loop, and not all of them: hardly an accept finds nothing.
func TestClientWakesOneLoop(t *testing.T) {
	s := start(t, &Server{Loops: turnLoops})
	failed := countFailedAccepts(t)
	for range turnConns {
		s.dial(t).get("/")
	}
	t.Logf("one after the other: %d", failed())
	if n := failed(); n > turnConns/10 {
		t.Errorf("%d of %d accepts have failed with %d loops, want %d at most", n, turnConns+n, turnLoops, turnConns/10)
	}
	if err := s.run.port.Pause(); err != nil {
		t.Fatal(err)
	}
	before := failed()
	for range turnConns {
		s.dial(t)
	}
	if err := s.run.port.Resume(); err != nil { // all loops at once
		t.Fatal(err)
	}
	lingertest.Wait(t, "all are accepted", func() bool { return s.run.live.Load() == 2*turnConns })
	t.Logf("a burst: %d", failed()-before)
	if n := failed() - before; n > turnConns/10 {
		t.Errorf("%d of %d accepts of a burst have failed with %d loops, want %d at most", n, turnConns+n, turnLoops, turnConns/10)
	}
}
