//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger/sockdiag"
)

// shaky is a server with a fault, which SIGUSR2 makes it show. It serves one request after the other on each connection. When the fault
// is over, it says in a file how often it has hit: the file is named by shakyVariable.
type shaky struct {
	addr string
	ln   *net.TCPListener
	gate sync.RWMutex // held for writing while nothing is to be answered

	mu   sync.Mutex
	idle map[*net.TCPConn]bool

	unwell   atomic.Bool  // answers 503
	losing   atomic.Int64 // requests until the next is lost, counted down; 0 or less: none is
	requests atomic.Int64 // since SIGUSR2
	asking   atomic.Int64 // requests that have no answer
	hits     atomic.Int64
}

const shakyVariable = "RSTSERVER_BENCH_SHAKY"

// Each is done once, and returns how often it has hit.
var shakyFaults = map[string]func(s *shaky) int64{
	// It closes the listener with what waits in its queue.
	"drops-queue": func(s *shaky) int64 {
		s.ln.SetDeadline(time.Unix(1, 0)) // nothing is accepted from here on
		for {
			waiting, err := queued(s.addr)
			if err != nil {
				panic(err)
			}
			if waiting >= 3 {
				s.ln.Close()
				if err := s.listen(); err != nil {
					panic(err)
				}
				return int64(waiting)
			}
			time.Sleep(time.Millisecond)
		}
	},
	// It resets the connections on which nothing is asked.
	"resets-idle": func(s *shaky) int64 {
		s.gate.Lock() // no request is being answered
		defer s.gate.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		n := int64(len(s.idle))
		for c := range s.idle {
			_ = c.SetLinger(0)
			c.Close()
		}
		return n
	},
	// It answers nobody for 50 ms, from when all clients wait, and so have read what they got before.
	"gap": func(s *shaky) int64 {
		s.gate.Lock()
		defer s.gate.Unlock()
		for s.asking.Load() < shakyClients {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(shakyGap)
		return 1
	},
	// It loses every 1,000th request, three times.
	"thousandth": func(s *shaky) int64 {
		const losses = 3
		s.losing.Store(losses)
		for s.hits.Load() < losses {
			time.Sleep(time.Millisecond)
		}
		return losses
	},
	// It answers 503 for 100 ms.
	"unwell": func(s *shaky) int64 {
		s.unwell.Store(true)
		time.Sleep(100 * time.Millisecond)
		s.unwell.Store(false)
		s.gate.Lock() // and so that all of these are out
		defer s.gate.Unlock()
		return s.hits.Load()
	},
	// It has no fault.
	"sound": func(s *shaky) int64 { return 0 },
}

const (
	shakyGap     = 50 * time.Millisecond
	shakyClients = 40 // that ask
)

// serveShaky is the program.
func serveShaky(fault, addr string) error {
	s := &shaky{addr: addr, idle: make(map[*net.TCPConn]bool)}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	if err := s.listen(); err != nil {
		return err
	}
	for range signals {
		n := shakyFaults[fault](s)
		if err := os.WriteFile(os.Getenv(shakyVariable)+".new", []byte(fmt.Sprint(n)), 0o600); err != nil {
			return err
		}
		if err := os.Rename(os.Getenv(shakyVariable)+".new", os.Getenv(shakyVariable)); err != nil {
			return err
		}
	}
	return nil
}

func (s *shaky) listen() error {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // whose connections never have a number that shows whether they were accepted
	ln, err := config.Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		return err
	}
	s.ln = ln.(*net.TCPListener)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c.(*net.TCPConn))
		}
	}()
	return nil
}

func (s *shaky) serve(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		s.note(c, true)
		if _, err := r.Peek(1); err != nil {
			s.note(c, false)
			return
		}
		s.note(c, false)
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		if !s.answer(c) {
			return
		}
	}
}

func (s *shaky) note(c *net.TCPConn, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.idle, c); idle {
		s.idle[c] = true
	}
}

// answer answers one request, and reports whether the connection goes on.
func (s *shaky) answer(c *net.TCPConn) bool {
	s.asking.Add(1)
	defer s.asking.Add(-1)
	s.gate.RLock()
	defer s.gate.RUnlock()
	if left := s.losing.Load(); left > 0 && s.requests.Add(1)%1000 == 0 && s.losing.CompareAndSwap(left, left-1) {
		s.hits.Add(1)
		return false
	}
	status := "200 OK"
	if s.unwell.Load() {
		s.hits.Add(1)
		status = "503 Service Unavailable"
	}
	_, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 2\r\n\r\nok")
	return err == nil
}

// queued is how many connections have not been accepted: those of the port that nobody holds.
func queued(addr string) (int, error) {
	dump, err := sockdiag.Inspect(netip.MustParseAddrPort(addr).Port())
	n := 0
	for _, socket := range dump.Sockets {
		if socket.State == sockdiag.Established && socket.Inode == 0 {
			n++
		}
	}
	return n, err
}

// serveStubborn never ends, whatever it is told.
func serveStubborn(addr string) error {
	signal.Ignore(syscall.SIGTERM)
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(failed, err)
	}}
	ln, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") }))
}
