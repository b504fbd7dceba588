//go:build linux

package linger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// Connections are armed from birth if asked, and an ordinary Close is ordinary all the same.
func TestConnClose(t *testing.T) {
	const data = "the answer"
	for _, tt := range []struct {
		name   string
		armed  bool
		queued bool // the connection is in the queue before the listener is wrapped
		end    func(*Conn) error
		reset  bool
	}{
		{name: "Close", end: (*Conn).Close},
		{name: "armed, Close", armed: true, end: (*Conn).Close},
		{name: "armed in the queue, Close", armed: true, queued: true, end: (*Conn).Close},
		{name: "a crash", end: func(c *Conn) error { return c.tcpConn.Close() }},
		{name: "armed, a crash", armed: true, end: func(c *Conn) error { return c.tcpConn.Close() }, reset: true},
		{name: "armed in the queue, a crash", armed: true, queued: true, end: func(c *Conn) error { return c.tcpConn.Close() }, reset: true},
		{name: "CloseWrite and Close", armed: true, end: func(c *Conn) error { return errors.Join(c.CloseWrite(), c.Close()) }},
		{name: "the user's SetLinger", end: func(c *Conn) error { return errors.Join(c.SetLinger(0), c.Close()) }, reset: true},
		{name: "armed, the user's SetLinger", armed: true, end: func(c *Conn) error { return errors.Join(c.SetLinger(0), c.Close()) }, reset: true},
		{name: "armed, the user's SetLinger(-1)", armed: true, end: func(c *Conn) error { return errors.Join(c.SetLinger(-1), c.Close()) }},
		{name: "Abort", end: func(c *Conn) error { return errors.Join(c.Abort(), c.Close()) }, reset: true},
		{name: "armed, Abort", armed: true, end: func(c *Conn) error { return errors.Join(c.Abort(), c.Abort(), c.Close()) }, reset: true},
		{name: "Abort after Close", armed: true, end: func(c *Conn) error { return errors.Join(c.Close(), c.Abort()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := listen(t, families[0])
			var client *net.TCPConn
			if tt.queued {
				client = s.dial(t)
				l := &Listener{}
				lingertest.Must(t, func() (err error) { l.raw, err = s.SyscallConn(); return }())
				waitQueue(t, l)
			}
			ln, err := ListenConfig{Armed: tt.armed}.Wrap(s.TCPListener)
			lingertest.Must(t, err)
			if !tt.queued {
				client = s.dial(t)
			}
			nc, err := ln.Accept()
			lingertest.Must(t, err)
			c := nc.(*Conn)
			lingertest.Control(t, c, func(fd int) error {
				if armed, err := Armed(fd); armed != tt.armed {
					t.Errorf("Armed = %v, %v, want %v", armed, err, tt.armed)
				}
				return nil
			})
			say(t, c, data)
			if tt.reset {
				// Or the reset takes it away.
				if _, err := io.ReadFull(client, make([]byte, len(data))); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.end(c); err != nil {
				t.Errorf("the end = %v", err)
			}
			if tt.reset {
				wantReset(t, client)
			} else {
				wantWhole(t, client, data)
			}
			if err := c.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the last Close = %v, want net.ErrClosed", err)
			}
			if n := ln.Len(); n != 0 {
				t.Errorf("Len = %d, want 0", n)
			}
			lingertest.Must(t, ln.Close())
		})
	}
}

func waitQueue(t testing.TB, l *Listener) {
	t.Helper()
	for !l.queueWaits() {
		runtime.Gosched()
	}
}

// Those that did not inherit it are armed too, and whoever else holds the listener finds it armed after any way of letting go.
func TestListenerArmed(t *testing.T) {
	// That the File is left is an error of some of them.
	ways := map[string]func(*Listener){
		"Close":   func(l *Listener) { l.Close() },
		"Release": func(l *Listener) { l.Release() },
		"Drain":   func(l *Listener) { l.Drain(context.Background(), nil) },
		"Abort":   func(l *Listener) { l.Abort() },
	}
	for name, letGo := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some of them wait
			s := listen(t, families[0])
			f, err := s.File()
			lingertest.Must(t, err)
			defer f.Close()
			for range 3 {
				s.dial(t)
			}
			ln, err := ListenConfig{Armed: true}.Wrap(s.TCPListener)
			lingertest.Must(t, err)
			if armed, err := Armed(int(f.Fd())); !armed || err != nil {
				t.Errorf("Armed = %v, %v, want true", armed, err)
			}
			s.dial(t)
			for range 4 {
				c, err := ln.Accept()
				lingertest.Must(t, err)
				lingertest.Control(t, c.(*Conn), func(fd int) error {
					if armed, err := Armed(fd); !armed || err != nil {
						t.Errorf("Armed = %v, %v, want true", armed, err)
					}
					return nil
				})
				lingertest.Must(t, c.(*Conn).Abort())
				lingertest.Must(t, c.Close())
			}
			letGo(ln)
			if armed, err := Armed(int(f.Fd())); !armed || err != nil {
				t.Errorf("Armed after it = %v, %v, want true", armed, err)
			}
		})
	}
}

// Who shares an armed socket and wants ordinary connections has them, whenever it was armed.
func TestUnarmedListenerOnAnArmedSocket(t *testing.T) {
	for _, before := range []bool{false, true} {
		s := listen(t, families[0])
		arm := func() { lingertest.Control(t, s, Arm) }
		if before {
			arm()
		}
		ln, err := Wrap(s.TCPListener)
		lingertest.Must(t, err)
		if !before {
			arm()
		}
		client := s.dial(t)
		c, err := ln.Accept()
		lingertest.Must(t, err)
		lingertest.Control(t, c.(*Conn), func(fd int) error {
			armed, err := Armed(fd)
			if armed {
				t.Errorf("armed before Wrap: %v; the connection is armed", before)
			}
			return err
		})
		say(t, c, "all of it")
		lingertest.Must(t, c.Close())
		wantWhole(t, client, "all of it")
		_, err = ln.Abort()
		lingertest.Must(t, err)
	}
}

// What the kernel copies for a net.TCPConn, it copies for a Conn: counted in system calls that read or write, of which a copy
// in the process needs at least one for 32 KiB, and sendfile(2) and splice(2) few or none.
func TestConnCopies(t *testing.T) {
	const size = 8 << 20
	l := trackedOn4(t, ListenConfig{})
	lingertest.Control(t, l.TCPListener, func(fd int) error {
		// Many calls of sendfile would count as well.
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	})
	path := filepath.Join(t.TempDir(), "file")
	lingertest.Must(t, os.WriteFile(path, make([]byte, size), 0o600))

	// source returns a connection that size bytes come out of, tracked or not.
	source := func() (*Conn, *net.TCPConn) {
		client, conn := l.pair(t)
		go func() {
			client.Write(make([]byte, size))
			client.CloseWrite()
		}()
		return conn, conn.tcpConn
	}
	sink := func() (*Conn, *net.TCPConn) {
		client, conn := l.pair(t)
		go io.Copy(io.Discard, client)
		return conn, conn.tcpConn
	}
	for _, tt := range []struct {
		name     string
		copy     func() (int64, error)
		inKernel bool
	}{
		{"a file to a Conn", func() (int64, error) {
			f, err := os.Open(path)
			lingertest.Must(t, err)
			defer f.Close()
			to, _ := sink()
			return io.Copy(to, f)
		}, true},
		{"a part of a file to a Conn", func() (int64, error) {
			f, err := os.Open(path)
			lingertest.Must(t, err)
			defer f.Close()
			to, _ := sink()
			return io.CopyN(to, f, size)
		}, true},
		{"a TCPConn to a Conn", func() (int64, error) {
			_, from := source()
			to, _ := sink()
			return io.Copy(to, from)
		}, true},
		{"a Conn to a TCPConn", func() (int64, error) {
			from, _ := source()
			_, to := sink()
			return io.Copy(to, from)
		}, true},
		{"a Conn to a Conn", func() (int64, error) {
			from, _ := source()
			to, _ := sink()
			return io.Copy(to, from)
		}, true},
		{"a part of a Conn to a Conn", func() (int64, error) {
			from, _ := source()
			to, _ := sink()
			return io.CopyN(to, from, size)
		}, true},
		{"ReadFrom of a Conn", func() (int64, error) {
			from, _ := source()
			to, _ := sink()
			return to.ReadFrom(from)
		}, true},
		{"a part of a Conn to a TCPConn, which is documented", func() (int64, error) {
			from, _ := source()
			_, to := sink()
			return io.CopyN(to, from, size)
		}, false},
		{"a Conn to a TCPConn, in the process", func() (int64, error) {
			from, _ := source()
			_, to := sink()
			return io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := readsAndWrites(t)
			n, err := tt.copy()
			calls := readsAndWrites(t) - before
			if n != size || err != nil {
				t.Errorf("copied %d bytes, %v, want %d", n, err, size)
			}
			// Waiting in between is on other threads.
			if inKernel := calls < size/(32<<10); inKernel != tt.inKernel {
				t.Errorf("%d calls that read or write, want the copy in the kernel: %v", calls, tt.inKernel)
			}
			t.Logf("%d calls that read or write", calls)
		})
	}
}

// readsAndWrites is how many system calls of this thread have read or written (proc_pid_io(5)).
func readsAndWrites(t testing.TB) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		t.Skipf("the kernel does not count: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		var calls int
		if c, _ := fmt.Sscanf(line, "syscr: %d", &calls); c == 1 {
			n += calls
		}
		if c, _ := fmt.Sscanf(line, "syscw: %d", &calls); c == 1 {
			n += calls
		}
	}
	return n
}

// A connection takes no goroutine, and its deadlines are those of package net.
func TestConnCosts(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Armed: true})
	before := runtime.NumGoroutine()
	var conns []*Conn
	for range 50 {
		_, conn := l.pair(t)
		conns = append(conns, conn)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines with 50 connections, %d without", n, before)
	}
	for _, c := range conns {
		lingertest.Must(t, c.SetReadDeadline(time.Now()))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %v, want os.ErrDeadlineExceeded", err)
		}
	}
}

// A limited reader knows afterwards what it has given, as package net leaves it.
func TestConnReadFromLimited(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	client, from := l.pair(t)
	sink, to := l.pair(t)
	say(t, client, "hello, world")
	limited := &io.LimitedReader{R: from, N: 5}
	n, err := to.ReadFrom(limited)
	if n != 5 || err != nil || limited.N != 0 {
		t.Errorf("ReadFrom = %d, %v, and %d left, want 5 and 0", n, err, limited.N)
	}
	lingertest.Must(t, client.CloseWrite())
	limited = &io.LimitedReader{R: from, N: 100}
	n, err = to.ReadFrom(limited)
	if n != 7 || err != nil || limited.N != 93 {
		t.Errorf("ReadFrom = %d, %v, and %d left, want 7 and 93", n, err, limited.N)
	}
	lingertest.Must(t, to.Close())
	wantWhole(t, sink, "hello, world")
}

// The user of a connection and the teardown meet in every order: the peer reads the whole answer and an end, or is reset, and
// nobody waits for ever.
func TestConnCloseWhileAborting(t *testing.T) {
	for round := range 50 {
		l := trackedOn4(t, ListenConfig{Armed: round%2 == 0})
		var clients []*net.TCPConn
		var closing sync.WaitGroup
		start := make(chan struct{})
		for range 20 {
			client, conn := l.pair(t)
			clients = append(clients, client)
			closing.Go(func() {
				<-start
				if err := conn.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		}
		close(start)
		rep, err := l.Abort()
		lingertest.Must(t, err)
		closing.Wait()
		resets := 0
		for _, client := range clients {
			_, err := client.Read(make([]byte, 1))
			if errors.Is(err, unix.ECONNRESET) {
				resets++
			} else if err != io.EOF {
				t.Errorf("a client read %v, want ECONNRESET or EOF", err)
			}
			client.Close()
		}
		if rep.Connections.Total() != resets {
			t.Errorf("the report counts %v, %d were reset", rep.Connections, resets)
		}
		// Those that were closed are what is left, and not somebody else's.
		if rep.Left.Outlived.Total()+rep.Left.Others.Total() > 0 || l.Len() != 0 {
			t.Errorf("left: %+v, Len = %d", rep.Left, l.Len())
		}
	}
}
