//go:build linux

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"rstserver/bench/internal/kernel"

	"golang.org/x/sys/unix"
)

// fault is what a server of the tests does wrong. The zero value answers every request, and at SIGTERM resets its connections and
// ends.
type fault struct {
	start     func(addr string) error // in place of serving
	listen    func(addr string) string
	answer    string                      // to every request; empty: as it ought to be
	answered  func(c *net.TCPConn, n int) // behind the n-th answer
	signalled func(s *faultyServer) error // in place of resetting; the process ends when it returns
	accepted  func(c *net.TCPConn)
	ignores   bool   // SIGTERM
	begun     func() // before anything else
}

const goodAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// lateBy is how late the server is that closes late, and how long the child lives of the one that has a child for some time.
const lateBy = 300 * time.Millisecond

// faults are all of them, by the name that makes the test binary such a server: faulty-NAME.
var faults = map[string]fault{
	"none": {},
	"keeps": {signalled: func(s *faultyServer) error {
		s.ln.Close()
		fmt.Fprintln(os.Stderr, "closing")
		select {}
	}},
	"keeps-one": {signalled: func(s *faultyServer) error {
		s.ln.Close()
		s.conns = s.conns[1:]
		s.reset()
		fmt.Fprintln(os.Stderr, "closing")
		select {}
	}},
	"serves-one": {signalled: func(s *faultyServer) error {
		clients := s.conns
		s.conns = clients[1:]
		s.reset()
		fmt.Fprintln(os.Stderr, "closing")
		s.mu.Unlock()
		select {}
	}},
	"time-wait-one": {signalled: func(s *faultyServer) error {
		s.ln.Close()
		s.conns[0].Close()
		s.conns = s.conns[1:]
		s.reset()
		return nil
	}},
	"late": {signalled: func(s *faultyServer) error {
		s.ln.Close()
		time.Sleep(lateBy)
		s.reset()
		return nil
	}},
	"fin": {signalled: func(s *faultyServer) error {
		s.ln.Close()
		for _, c := range s.conns {
			_ = c.CloseWrite()
		}
		s.reading.Wait() // until the clients have closed
		return nil
	}},
	"half": {signalled: func(s *faultyServer) error {
		s.ln.Close()
		for i, c := range s.conns {
			if i%2 == 0 {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
		}
		return nil
	}},
	"exit": {signalled: func(*faultyServer) error {
		os.Exit(3)
		return nil
	}},
	"panic": {signalled: func(*faultyServer) error { panic("what now") }},
	"abort": {signalled: func(*faultyServer) error {
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		debug.SetTraceback("crash")
		panic("what now")
	}},
	"dies": {answered: func(_ *net.TCPConn, n int) {
		if n == 50 {
			fmt.Println("first line\nthe disk is full")
			os.Exit(3)
		}
	}},
	"fickle": {answered: func(c *net.TCPConn, n int) {
		if n == 50 {
			_ = c.Close()
		}
	}},
	"absent": {start: func(string) error { return errors.New("no configuration") }},
	"deaf": {start: func(string) error {
		fmt.Fprintln(os.Stderr, "warming up")
		select {}
	}},
	"deaf-late": {start: func(addr string) error { // it listens, and does not accept
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, kernel.Sockaddr(netip.MustParseAddrPort(addr))); err != nil {
			return err
		}
		if err := unix.Listen(fd, 1); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "listening")
		select {}
	}},
	"other-port": {listen: func(string) string { return "127.0.0.1:0" }},
	"other-address": {listen: func(addr string) string {
		return strings.Replace(addr, "127.0.0.1", "127.0.0.2", 1)
	}},
	"everywhere": {listen: func(addr string) string { // dual stack, and MPTCP, as Go has it
		return strings.TrimPrefix(addr, "127.0.0.1")
	}},
	"stubborn": {ignores: true, accepted: func(c *net.TCPConn) {
		if c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr() == kernel.ProbeSource {
			fmt.Fprintln(os.Stderr, "probed")
		}
	}},
	"heir": {signalled: func(s *faultyServer) error {
		defer fmt.Fprintln(os.Stderr, "leaving")
		return s.bequeath("1000")
	}},
	"heir-one": {signalled: func(s *faultyServer) error {
		all := s.conns
		s.conns = all[:1]
		err := s.bequeath("1000")
		s.conns = all[1:]
		s.reset()
		fmt.Fprintln(os.Stderr, "leaving")
		return err
	}},
	"heir-once": {signalled: func(s *faultyServer) error { return s.bequeath(fmt.Sprint(lateBy.Seconds())) }},
	"404":       {answer: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	"close":     {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"},
	"endless":   {answer: "HTTP/1.1 200 OK\r\n\r\nok"},
	"malformed": {answer: "HTTP/one 200 OK\r\n\r\n"},
	"silent": {answer: "HTTP/1.1 200 OK\r\nContent-Le", answered: func(_ *net.TCPConn, n int) {
		if n == 100 {
			fmt.Fprintln(os.Stderr, "nothing to say")
		}
	}},
	"chatty":   {begun: chat, start: func(string) error { return errors.New("and that was all") }},
	"chatting": {begun: chat},
}

// chat prints more than anybody wants to read, and what no terminal is to be sent.
func chat() {
	fmt.Print(strings.Repeat("\x1b[31mred\x1b[0m and\ttabs, "+strings.Repeat("so on ", 100)+"\n", 5_000))
}

func init() {
	for name, f := range faults {
		own["faulty-"+name] = f.serve
	}
}

// faulty is a server with a fault.
func faulty(name string) Server {
	s := peer("faulty-" + name)
	s.Name = "faulty " + name
	return s
}

type faultyServer struct {
	ln      *net.TCPListener
	mu      sync.Mutex
	conns   []*net.TCPConn
	n       int // answers
	reading sync.WaitGroup
}

func (f fault) serve(addr string) error {
	signals := make(chan os.Signal, 1)
	if f.ignores {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(signals, syscall.SIGTERM)
	}
	if f.begun != nil {
		f.begun()
	}
	if f.start != nil {
		return f.start(addr)
	}
	if f.listen != nil {
		addr = f.listen(addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &faultyServer{ln: ln.(*net.TCPListener)}
	go func() {
		for {
			c, err := s.ln.AcceptTCP()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			if f.accepted != nil {
				f.accepted(c)
			}
			s.reading.Go(func() { s.read(c, f) })
		}
	}()
	<-signals
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.signalled != nil {
		return f.signalled(s)
	}
	s.ln.Close()
	s.reset()
	return nil
}

// read answers requests until the client's end of the connection.
func (s *faultyServer) read(c *net.TCPConn, f fault) {
	answer := f.answer
	if answer == "" {
		answer = goodAnswer
	}
	var got []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := c.Read(buf)
		if err == io.EOF {
			_ = c.Close()
		}
		if err != nil {
			return
		}
		for got = append(got, buf[:n]...); ; {
			_, rest, whole := bytes.Cut(got, []byte("\r\n\r\n"))
			if !whole {
				break
			}
			if bytes.HasPrefix(got, []byte("GET /slow")) && f.answer == "" {
				return // for ever
			}
			got = rest
			_, _ = io.WriteString(c, answer)
			s.mu.Lock()
			if s.n++; f.answered != nil {
				f.answered(c, s.n)
			}
			s.mu.Unlock()
		}
	}
}

func (s *faultyServer) reset() {
	for _, c := range s.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// bequeath leaves all connections to a process that sleeps, in a session of its own.
func (s *faultyServer) bequeath(seconds string) error {
	s.ln.Close()
	cmd := exec.Command("sleep", seconds)
	for _, c := range s.conns {
		f, err := c.File()
		if err != nil {
			return err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}
