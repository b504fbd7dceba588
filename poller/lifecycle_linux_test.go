//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

func TestCloseResetsEveryConnection(t *testing.T) {
	plain(t, "it has connections in every state without")
	s := start(t, &Server{Loops: 2, LoopHandler: LoopHandlerFunc(bytesHandler)})
	fresh, idle, half, body, sending := s.dial(t), s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	idle.get("/")
	half.send("GET / HTTP/1.1\r\nHos")
	body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	sending.send("GET /bytes HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: unread\r\n\r\n")
	want := linger.Tally{linger.New: 1, linger.Idle: 1, linger.Receiving: 2, linger.Sending: 1}
	lingertest.Wait(t, "the five connections are where they should be", func() bool {
		return s.Report().Connections == want
	})
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	s.assertGone(t)
	for _, c := range []*client{fresh, idle, half, body, sending} {
		c.wantReset()
	}
	if err := s.wait(t); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve() = %v, want ErrServerClosed", err)
	}
	rep := s.Report()
	if rep.Connections != want || rep.Mode != linger.ModeAbort || !rep.Complete() || !rep.Left.Free() {
		t.Errorf("Report() = %s", rep)
	}
	st := rep.Steps
	if !(0 < st.Refused && st.Refused <= st.PortFree && st.PortFree <= st.Verified && st.Verified <= st.Done) {
		t.Errorf("the steps are out of order: %+v", st)
	}
}

func TestServeTwice(t *testing.T) {
	s := start(t, &Server{})
	other, err := Listen(context.Background(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(other); !errors.Is(err, ErrServing) {
		t.Errorf("a second Serve() = %v, want ErrServing", err)
	}
	if _, err := other.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second listener was not closed: Accept() = %v", err)
	}
	s.dial(t).get("/")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := Listen(context.Background(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(third); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve() after Close = %v, want ErrServerClosed", err)
	}
	if _, err := third.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the third listener was not closed: Accept() = %v", err)
	}
	if err := s.ListenAndServe(); !errors.Is(err, ErrServerClosed) {
		t.Errorf("ListenAndServe() after Close = %v, want ErrServerClosed", err)
	}
}

func TestCloseBeforeServe(t *testing.T) {
	var s Server
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.ListenAndServe(); !errors.Is(err, ErrServerClosed) {
		t.Errorf("ListenAndServe() = %v, want ErrServerClosed", err)
	}
	if rep := s.Report(); rep.Mode != linger.ModeNone || rep.Complete() {
		t.Errorf("Report() = %+v for a server that never served", rep)
	}
}

func TestCloseConcurrently(t *testing.T) {
	s := start(t, &Server{})
	c := s.dial(t)
	c.get("/")
	var all sync.WaitGroup
	var oneByOne sync.Mutex // two binds at a time would find each other
	for range 16 {
		all.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			oneByOne.Lock()
			defer oneByOne.Unlock()
			// Whoever comes back finds the teardown complete.
			s.assertGone(t)
		})
	}
	all.Wait()
	c.wantReset()
}

func TestCloseFromHandler(t *testing.T) {
	s := &Server{}
	done := make(chan error, 1)
	s.LoopHandler = LoopHandlerFunc(func(w *Responder, r *Request) {
		go func() { done <- s.Close() }()
	})
	sv := start(t, s)
	c := sv.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-done; err != nil {
		t.Errorf("Close() = %v", err)
	}
	sv.assertGone(t)
}

// A loop that a handler blocks must not hold the teardown up.
func TestCloseWithStuckLoop(t *testing.T) {
	release, blocked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := start(t, &Server{Loops: 2, StuckGrace: time.Second, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/block" {
			once.Do(func() { close(blocked) })
			<-release
		}
		_, _ = w.WriteString("late")
	})})
	t.Cleanup(func() {
		if t.Failed() {
			once.Do(func() { close(blocked) })
		}
	})
	const n = 40
	var clients []*client
	for range n {
		c := s.dial(t)
		c.get("/")
		clients = append(clients, c)
	}
	clients[0].send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	<-blocked
	err := s.Close()
	if err == nil || !strings.Contains(err.Error(), "stuck") || !strings.Contains(err.Error(), "event loop ") {
		t.Errorf("Close() = %v, want an error that names the stuck loop", err)
	}
	s.assertGone(t)
	for _, c := range clients {
		c.wantReset()
	}
	rep := s.Report()
	if rep.Connections.Total() != n || rep.Connections[linger.Handling] != 1 || rep.AbortedOutside == 0 ||
		rep.HandlersRunning != 1 || !rep.Complete() {
		t.Errorf("Report() = %s", rep)
	}
	if err := s.wait(t); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve() = %v, want ErrServerClosed", err)
	}
	before := lingertest.Descriptors()
	close(release)
	// Now the loop comes to its end, and with it what it still held.
	lingertest.Wait(t, "the stuck loop ends", func() bool {
		for _, l := range s.run.loops {
			select {
			case <-l.ended:
			default:
				return false
			}
		}
		return true
	})
	lingertest.Wait(t, "its descriptors are closed", func() bool {
		return len(lingertest.Descriptors()) <= len(before)-(n-len(s.run.loops))/4
	})
}

// A connection that both sides have closed already, but whose loop has not got to it, is residue: no abort reaches it.
func TestCloseFindsTimeWait(t *testing.T) {
	release, blocked := make(chan struct{}), make(chan struct{})
	s := start(t, &Server{Loops: 1, StuckGrace: 10 * time.Millisecond, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/block" {
			close(blocked)
			<-release
		}
	})})
	defer close(release)
	closing, other := s.dial(t), s.dial(t)
	closing.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	closing.answer("GET")
	closing.wantEOF()
	other.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	<-blocked
	closing.Close()
	lingertest.Wait(t, "the closed connection is in TIME_WAIT", func() bool {
		counts, _, err := sockdiag.Count(s.addr.Port())
		return err == nil && counts[sockdiag.TimeWait] == 1
	})
	_ = s.Close() // names the stuck loop
	rep := s.Report()
	if !rep.Complete() || rep.Left.Residue[sockdiag.TimeWait] != 1 || rep.Left.Residue.Total() != 1 {
		t.Errorf("Report() = %s", rep)
	}
	other.wantReset()
}

// What blocks a loop after it has reset its connections does not hold the teardown up either.
func TestCloseWithStuckHook(t *testing.T) {
	release := make(chan struct{})
	s := start(t, &Server{Loops: 2, StuckGrace: time.Second, ConnAborted: func(Conn) { <-release }})
	c := s.dial(t)
	c.get("/")
	err := s.Close()
	if err == nil || !strings.Contains(err.Error(), "connection hook") {
		t.Errorf("Close() = %v, want an error that names the stuck loop", err)
	}
	c.wantReset()
	s.assertGone(t)
	if rep := s.Report(); rep.HandlersRunning != 1 || rep.Connections.Total() != 1 || !rep.Complete() {
		t.Errorf("Report() = %s", rep)
	}
	close(release)
	for _, l := range s.run.loops {
		<-l.ended
	}
}

// An engine that ends by itself while the teardown begins has aborted what it had; that is counted.
func TestCloseWhileAnEngineEnds(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	const n = 50
	var clients []*client
	for range n {
		c := s.dial(t)
		c.get("/")
		clients = append(clients, c)
	}
	l := s.run.loops[0]
	onLoop, goOn := make(chan struct{}), make(chan struct{})
	l.post(func() {
		close(onLoop)
		<-goOn
		l.engine.End()
	})
	<-onLoop
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	<-s.run.closingC
	close(goOn)
	if err := <-closed; err != nil {
		t.Errorf("Close() = %v", err)
	}
	if rep := s.Report(); rep.Connections != (linger.Tally{linger.Idle: n}) || !rep.Complete() {
		t.Errorf("Report() = %s", rep)
	}
	for _, c := range clients {
		c.wantReset()
	}
	s.assertGone(t)
}

func TestServeTakesTheListenerOver(t *testing.T) {
	plain(t, "it is about what Serve takes")
	type noSyscallConn struct{ net.Listener }
	tests := []struct {
		name    string
		listen  func(t *testing.T) net.Listener
		wantErr string
	}{
		{"without SyscallConn", func(t *testing.T) net.Listener {
			return noSyscallConn{listen(t, "tcp", "127.0.0.1:0")}
		}, "its Accept would be passed over"},
		{"TLS", func(t *testing.T) net.Listener {
			return tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), &tls.Config{})
		}, "ServeTLS"},
		{"Unix", func(t *testing.T) net.Listener { return listen(t, "unix", "@rstserver-test") }, "not a TCP socket"},
		{"nil", func(t *testing.T) net.Listener { return nil }, "not a nil"},
		{"nil of a type", func(t *testing.T) net.Listener { return (*net.TCPListener)(nil) }, "*net.TCPListener"},
		{"nil of a Unix type", func(t *testing.T) net.Listener { return (*net.UnixListener)(nil) }, "*net.UnixListener"},
		{"nil of a Listener", func(t *testing.T) net.Listener { return (*linger.Listener)(nil) }, "*linger.Listener"},
		{"closed", func(t *testing.T) net.Listener {
			ln := listen(t, "tcp", "127.0.0.1:0")
			ln.Close()
			return ln
		}, "use of closed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := lingertest.Descriptors()
			ln := tt.listen(t)
			err := new(Server).Serve(ln)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("Serve() = %v, want an error with %q", err, tt.wantErr)
			}
			if left := lingertest.NewDescriptors(before); len(left) > 0 {
				t.Errorf("descriptors left: %v", left)
			}
		})
	}
}

// Connections that were established before the listener was prepared are armed, and prompt, like all others.
func TestConnectionsFromBeforeServe(t *testing.T) {
	plain(t, "its client connects by itself")
	ln := listenAlone(t)
	s := &served{addr: netip.MustParseAddrPort(ln.Addr().String())}
	const queued = 5
	var clients []*client
	for range queued {
		clients = append(clients, s.dial(t))
	}
	s = startOn(t, &Server{Loops: 2, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		armed, err := linger.Armed(r.conn.sock.FD)
		noDelay, err2 := unix.GetsockoptInt(r.conn.sock.FD, unix.IPPROTO_TCP, unix.TCP_NODELAY)
		keepAlive, err3 := unix.GetsockoptInt(r.conn.sock.FD, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		if !armed || noDelay != 1 || keepAlive != 1 || errors.Join(err, err2, err3) != nil {
			t.Errorf("connection %d: armed %v, TCP_NODELAY %d, SO_KEEPALIVE %d", r.conn.id, armed, noDelay, keepAlive)
		}
	})}, ln)
	for _, c := range append(clients, s.dial(t)) {
		c.get("/")
	}
}

func listen(t testing.TB, network, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// Go's own listeners are MPTCP where the kernel has it.
func TestServeMultipathListener(t *testing.T) {
	plain(t, "its client connects by itself")
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(true)
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := startOn(t, &Server{}, ln)
	plain := s.dial(t)
	plain.get("/")
	d := net.Dialer{}
	d.SetMultipathTCP(true)
	conn, err := d.Dial("tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(lingertest.Patience))
	multi := &client{TCPConn: conn.(*net.TCPConn), t: t, in: newReader(conn)}
	multi.get("/")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	plain.wantReset()
	multi.wantReset()
	s.assertGone(t)
}

// Another process, such as a service manager, may hold the same listening socket.
func TestCloseLeavesASharedListenerAlone(t *testing.T) {
	ln := listenAlone(t)
	_, release := lingertest.HoldElsewhere(t, ln)
	s := startOn(t, &Server{Loops: 2, Shared: true}, ln)
	c := s.dial(t)
	c.get("/")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.wantReset()
	rep := s.Report()
	if !rep.Complete() || rep.Left.Free() || rep.Left.Others[sockdiag.Listen] != 1 {
		t.Errorf("Report() = %s, want the other's listener named", rep)
	}
	release()
	s.assertGone(t)
}

// A File of the listening socket that this process has not closed keeps the port, so that no teardown is complete with it. The
// socket is as good as it was while the server had it.
func TestFileOfTheListenerIsUnowned(t *testing.T) {
	ln := listenAlone(t)
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := startOn(t, &Server{StuckGrace: DefaultStuckGrace}, ln)
	s.holds = true
	if armed, err := linger.Armed(int(f.Fd())); err != nil || !armed {
		t.Fatalf("Armed() = %v, %v while it is served", armed, err)
	}
	c := s.dial(t)
	c.get("/")
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "LISTEN 1") {
		t.Errorf("Close() = %v, want an error that names the socket", err)
	}
	c.wantReset()
	if rep := s.Report(); rep.Complete() || rep.Left.Unowned != (sockdiag.Counts{sockdiag.Listen: 1}) {
		t.Errorf("Report() = %s, want one unowned socket", rep)
	}
	if armed, err := linger.Armed(int(f.Fd())); err != nil || !armed {
		t.Errorf("Armed() = %v, %v after the teardown, want what it was while it was served", armed, err)
	}
	again, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	s2 := startOn(t, &Server{}, again)
	s2.dial(t).get("/")
	if err := s2.Close(); err != nil {
		t.Fatal(err)
	}
	s2.assertGone(t)
}

// Somebody who shares the open file can make it blocking, as os.File.Fd and os/exec do. An accept that blocked for good
// would take a loop with it.
func TestListenerThatWasMadeBlocking(t *testing.T) {
	ln := listenAlone(t)
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := startOn(t, &Server{Loops: 4}, ln)
	for range 20 {
		if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
			t.Fatal(err)
		}
		var clients []*client
		for range 10 {
			c := s.dial(t)
			c.get("/")
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.get("/")
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	f.Close() // or this process is found to hold the socket
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	s.assertGone(t)
}

func TestServeTheSamePortManyTimes(t *testing.T) {
	rounds := lingertest.Times(100, 1000)
	before := lingertest.Descriptors()
	s := start(t, &Server{})
	addr := s.addr
	for i := range rounds {
		c := s.dial(t)
		c.get("/")
		if err := s.Close(); err != nil {
			t.Fatalf("round %d: Close() = %v", i, err)
		}
		if err := s.wait(t); !errors.Is(err, ErrServerClosed) {
			t.Fatalf("round %d: Serve() = %v", i, err)
		}
		c.wantReset()
		c.Close()
		// Without SO_REUSEADDR, which is the harder.
		if err := linger.CheckFree(addr); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if i == rounds-1 {
			break
		}
		ln, err := Listen(context.Background(), addr.String(), false)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		s = startOn(t, &Server{}, ln)
	}
	if left := lingertest.NewDescriptors(before); len(left) > 0 {
		t.Errorf("descriptors left: %v", left)
	}
}

func TestServerOptions(t *testing.T) {
	tests := []struct {
		name string
		srv  *Server
		want string
	}{
		{"negative loops", &Server{Loops: -1}, "Server.Loops is -1"},
		{"negative connections", &Server{MaxConns: -5}, "Server.MaxConns is -5"},
		{"more connections than descriptors", &Server{MaxConns: 1_000_000_000}, "limit of open files"},
		{"negative header bytes", &Server{MaxHeaderBytes: -1}, "Server.MaxHeaderBytes is -1"},
		{"negative fields", &Server{MaxFields: -1}, "Server.MaxFields is -1"},
		{"negative output", &Server{MaxOutputBytes: -1}, "Server.MaxOutputBytes is -1"},
		{"negative grace", &Server{StuckGrace: -1}, "Server.StuckGrace is -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.srv.Addr = "127.0.0.1:0"
			err := tt.srv.ListenAndServe()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ListenAndServe() = %v, want an error with %q", err, tt.want)
			}
		})
	}
	if err := (&Server{Addr: "127.0.0.1:http-nonsense"}).ListenAndServe(); err == nil {
		t.Error("ListenAndServe of a bad address = nil")
	}
}

func TestListenReusePort(t *testing.T) {
	a, err := Listen(context.Background(), "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	addr := a.Addr().String()
	s1 := startOn(t, &Server{ReusePort: true}, a)
	b, err := Listen(context.Background(), addr, true)
	if err != nil {
		t.Fatalf("a second listener on %s: %v", addr, err)
	}
	s2 := startOn(t, &Server{ReusePort: true}, b)
	if _, err := Listen(context.Background(), addr, false); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a listener without SO_REUSEPORT: %v, want EADDRINUSE", err)
	}
	var clients []*client
	for range 64 {
		c := s1.dial(t)
		c.get("/")
		clients = append(clients, c)
	}
	of1, of2 := s1.Report().Connections.Total(), s2.Report().Connections.Total()
	if of1+of2 != 64 || of1 == 0 || of2 == 0 {
		t.Errorf("connections: %d and %d, want 64 spread over both", of1, of2)
	}
	if err := s1.Close(); err != nil {
		t.Fatal(err)
	}
	rep := s1.Report()
	if !rep.Complete() || rep.Left.Free() || rep.Left.Others[sockdiag.Established] != of2 {
		t.Errorf("Report() = %s, want %d connections of others", rep, of2)
	}
	alive := 0
	for _, c := range clients {
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err == nil {
			if _, err := c.in.ReadByte(); err == nil {
				alive++
			}
		}
	}
	if alive != of2 {
		t.Errorf("%d connections are alive, want the sibling's %d", alive, of2)
	}
	if err := s2.Close(); err != nil {
		t.Fatal(err)
	}
	s2.assertGone(t)
}

func TestHooks(t *testing.T) {
	var mu sync.Mutex
	seen := map[uint64]string{}
	note := func(what string) func(Conn) {
		return func(c Conn) {
			mu.Lock()
			defer mu.Unlock()
			if !c.Remote.IsValid() {
				t.Errorf("connection %d has no remote address", c.ID)
			}
			seen[c.ID] += what
		}
	}
	s := start(t, &Server{ConnOpened: note("opened "), ConnClosed: note("closed"), ConnAborted: note("aborted")})
	first := s.dial(t)
	first.get("/")
	first.CloseWrite()
	first.wantEOF()
	second := s.dial(t)
	second.get("/")
	third := s.dial(t)
	third.send("nonsense\r\n\r\n")
	third.answer("GET")
	third.wantEOF()
	third.Close()
	lingertest.Wait(t, "the third connection is closed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.HasSuffix(seen[3], "closed")
	})
	s.Close()
	want := map[uint64]string{1: "opened closed", 2: "opened aborted", 3: "opened closed"}
	mu.Lock()
	defer mu.Unlock()
	for id, w := range want {
		if seen[id] != w {
			t.Errorf("connection %d: %q, want %q", id, seen[id], w)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d connections seen, want %d", len(seen), len(want))
	}
}

// Clients dial with all they have while the server is torn down. Each of them must be told, and nothing may be left.
func TestCloseUnderDialStorm(t *testing.T) {
	const dialers = 8
	before := lingertest.Descriptors()
	for round := range lingertest.Times(8, 200) {
		s := start(t, &Server{Loops: 2})
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range dialers {
			all.Go(func() { storm(t, s, stop) })
		}
		lingertest.Wait(t, "connections come in", func() bool { return s.Report().Connections.Total() > dialers })
		if err := s.Close(); err != nil {
			t.Errorf("round %d: Close() = %v", round, err)
		}
		close(stop)
		all.Wait()
		s.assertGone(t)
		if rep := s.Report(); !rep.Complete() || rep.Left.Others.Total() > 0 {
			t.Errorf("round %d: %s", round, rep)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	lingertest.Wait(t, "all descriptors are closed", func() bool { return len(lingertest.NewDescriptors(before)) == 0 })
}

// storm dials until it is told to stop, and then checks that each of its connections has ended.
func storm(t *testing.T, s *served, stop chan struct{}) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}()
	for {
		select {
		case <-stop:
			for i, c := range conns {
				_ = c.SetReadDeadline(time.Now().Add(lingertest.Patience))
				if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("connection %d of %d was never told", i, len(conns))
				}
			}
			return
		default:
		}
		c, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			// Refused or reset: told.
			continue
		}
		conns = append(conns, c)
		if len(conns) > 200 {
			_ = conns[0].(*net.TCPConn).SetLinger(0)
			_ = conns[0].Close()
			conns = conns[1:]
		}
	}
}
