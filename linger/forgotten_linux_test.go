//go:build linux

package linger

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
)

const forgettable = 50

// collecting runs the garbage collector again and again until stop is called, which returns when it has run some times more: what it
// finds has been found, and what hangs on that was called.
func collecting() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for more := 5; more > 0; {
			runtime.GC()
			if latch.IsClosed(done) {
				more--
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// A kind of listener, with the network that its clients dial.
type listenerKind struct {
	name string
	wrap func(t testing.TB, config ListenConfig) *Listener
}

var listenerKinds = []listenerKind{
	{"TCP", func(t testing.TB, config ListenConfig) *Listener { return trackedOn4(t, config).Listener }},
	{"MPTCP", func(t testing.TB, config ListenConfig) *Listener {
		return listenTracked(t, config, families[0].address, true).Listener
	}},
	{"unix", func(t testing.TB, config ListenConfig) *Listener {
		ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
		lingertest.Must(t, err)
		return wrapped(t, config, ln)
	}},
	{"other", func(t testing.TB, config ListenConfig) *Listener {
		return wrapped(t, config, ownListener{listen(t, families[0]).TCPListener, true})
	}},
}

// connectTo returns a client of l, which ends by RST if it can, and the server's side.
func connectTo(t testing.TB, l *Listener) (client, conn net.Conn) {
	t.Helper()
	addr := l.Addr()
	client, err := net.Dial(addr.Network(), addr.String())
	lingertest.Must(t, err)
	t.Cleanup(func() { client.Close() })
	lingertest.Must(t, client.SetDeadline(time.Now().Add(lingertest.Patience)))
	if tcp, ok := client.(*net.TCPConn); ok {
		lingertest.Must(t, tcp.SetLinger(0))
	}
	conn, err = l.Accept()
	lingertest.Must(t, err)
	return client, conn
}

// What a user forgets is closed, as package net does it, and ends in order: whether he was given the connection below or not, had it
// armed or not, and also when it was aborted before.
func TestForgotten(t *testing.T) {
	for _, kind := range listenerKinds {
		for _, tt := range []struct {
			name   string
			config ListenConfig
			forget func(net.Conn) // by its last mention
			reset  bool
		}{
			{"at once", ListenConfig{}, func(net.Conn) {}, false},
			{"armed", ListenConfig{Armed: true}, func(net.Conn) {}, false},
			{"swept", ListenConfig{Armed: true, Sweep: true}, func(net.Conn) {}, false},
			{"after a deadline", ListenConfig{}, func(c net.Conn) { lingertest.Must(t, c.SetDeadline(time.Now())) }, false},
			{"after NetConn", ListenConfig{Armed: true}, func(c net.Conn) { c.(interface{ NetConn() net.Conn }).NetConn() }, false},
			{"after SyscallConn", ListenConfig{Armed: true}, func(c net.Conn) {
				raw, err := c.(syscall.Conn).SyscallConn()
				lingertest.Must(t, err)
				lingertest.Must(t, raw.Control(func(uintptr) {}))
			}, false},
			{"after Abort", ListenConfig{}, func(c net.Conn) { _ = c.(interface{ Abort() error }).Abort() }, true},
		} {
			if kind.name == "other" && tt.name == "after NetConn" {
				continue // it is documented to stay: see TestForgottenOther
			}
			t.Run(kind.name+", "+tt.name, func(t *testing.T) {
				l := kind.wrap(t, tt.config)
				var clients []net.Conn
				before := lingertest.Descriptors()
				for range forgettable {
					client, conn := connectTo(t, l)
					clients = append(clients, client)
					tt.forget(conn)
				}
				lingertest.Collect(t, "no descriptor is left but the clients'", func() bool {
					return len(lingertest.NewDescriptors(before)) == forgettable
				})
				for _, client := range clients {
					n, err := client.Read(make([]byte, 1))
					if reset := errors.Is(err, unix.ECONNRESET); n != 0 || reset != (tt.reset && kind.name != "unix") || !reset && err != io.EOF {
						t.Fatalf("a client read %d bytes and then %v", n, err)
					}
				}
				lingertest.Wait(t, "Len = 0", func() bool { return l.Len() == 0 })
				if rep, err := l.Abort(); kind.name != "unix" && err != nil || rep.Connections.Total() != 0 {
					t.Errorf("Abort = %v, %v, want nothing aborted", rep, err)
				}
			})
		}
	}
}

// A connection of a listener of another make stays, and within reach, once its user has got it without what is around it.
func TestForgottenOther(t *testing.T) {
	l := listenerKinds[3].wrap(t, ListenConfig{})
	client, conn := connectTo(t, l)
	below := conn.(*otherConn).NetConn()
	stop := collecting()
	say(t, client, "hello")
	if _, err := io.ReadFull(below, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	stop()
	if rep, err := l.Abort(); err != nil || rep.Connections.Total() != 1 {
		t.Errorf("Abort = %v, %v, want 1 connection", rep, err)
	}
	wantReset(t, client.(*net.TCPConn))
	lingertest.Must(t, below.Close())
}

// Where a RawConn of package net's is all that the user has left, the connection stays open for as long as he has it.
func TestForgottenButForARawConn(t *testing.T) {
	for _, kind := range listenerKinds[:3] {
		t.Run(kind.name, func(t *testing.T) {
			l := kind.wrap(t, ListenConfig{Armed: true})
			client, conn := connectTo(t, l)
			raw, err := conn.(interface{ NetConn() net.Conn }).NetConn().(syscall.Conn).SyscallConn()
			lingertest.Must(t, err)
			conn = nil
			lingertest.Collect(t, "the connection is forgotten", func() bool { return l.Len() == 0 })
			collecting()()
			lingertest.Must(t, raw.Write(func(fd uintptr) bool {
				_, err = unix.Write(int(fd), []byte("still here"))
				return true
			}))
			lingertest.Must(t, err)
			raw = nil
			ended := make(chan error, 1)
			go func() {
				b, err := io.ReadAll(client)
				if string(b) != "still here" && err == nil {
					err = errors.New("the client read " + string(b))
				}
				ended <- err
			}()
			lingertest.Collect(t, "the client reads an end", func() bool { return len(ended) == 1 })
			lingertest.Must(t, <-ended)
		})
	}
}

// A released listener ends, and a drain, although the connections that were left are closed by nobody.
func TestForgottenAndLetGo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		letGo func(*Listener) error
	}{
		{"Release", (*Listener).Release},
		{"Drain", func(l *Listener) error {
			_, err := l.Drain(context.Background(), nil)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := trackedOn4(t, ListenConfig{Armed: true})
			for range forgettable {
				l.pairToForget(t)
			}
			ended := make(chan error, 1)
			go func() { ended <- tt.letGo(l.Listener) }()
			<-l.refused
			lingertest.Collect(t, "the end of the listener", func() bool { return latch.IsClosed(l.done) })
			lingertest.Must(t, <-ended)
			if rep := l.Report(); rep.Closed != forgettable || rep.Connections.Total() != 0 {
				t.Errorf("the report is %s, want %d closed in order", rep, forgettable)
			}
		})
	}
}

func (l *listening) pairToForget(t testing.TB) (client *net.TCPConn, conn *Conn) {
	t.Helper()
	client = l.dial(t)
	c, err := l.Listener.Accept()
	lingertest.Must(t, err)
	return client, c.(*Conn)
}

// Whoever is using a connection is left alone, although nobody mentions it any more, and is reset by the teardown: no use has left the
// set behind.
func TestForgottenInUse(t *testing.T) {
	file := func(size int64) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		lingertest.Must(t, err)
		lingertest.Must(t, f.Truncate(size))
		t.Cleanup(func() { f.Close() })
		return f
	}
	const large = 64 << 20
	for _, tt := range []struct {
		name string
		use  func(c *Conn) error // until its end; the peer neither reads nor writes
	}{
		{"Read", func(c *Conn) error {
			_, err := c.Read(make([]byte, 1))
			return err
		}},
		{"Read, by NetConn", func(c *Conn) error {
			_, err := c.NetConn().Read(make([]byte, 1))
			return err
		}},
		{"Read, buffered", func(c *Conn) error {
			_, err := bufio.NewReader(c).ReadByte()
			return err
		}},
		{"Write", func(c *Conn) error {
			_, err := c.Write(make([]byte, large))
			return err
		}},
		{"writev", func(c *Conn) error {
			v := net.Buffers{make([]byte, large), make([]byte, large)}
			_, err := v.WriteTo(c)
			return err
		}},
		{"copy to the process", func(c *Conn) error {
			_, err := io.Copy(io.Discard, c)
			return err
		}},
		{"copy from the process", func(c *Conn) error {
			_, err := io.Copy(c, struct{ io.Reader }{file(large)})
			return err
		}},
		{"sendfile", func(c *Conn) error {
			_, err := io.Copy(c, file(large))
			return err
		}},
		{"sendfile of a part", func(c *Conn) error {
			_, err := io.CopyN(c, file(large), large-1)
			return err
		}},
		{"splice to a file", func(c *Conn) error {
			_, err := io.Copy(file(0), c)
			return err
		}},
		{"RawConn, Read", func(c *Conn) error {
			raw, err := c.SyscallConn()
			lingertest.Must(t, err)
			var failure error
			err = raw.Read(func(fd uintptr) bool {
				_, failure = unix.Read(int(fd), make([]byte, 1))
				return failure != unix.EAGAIN
			})
			return errors.Join(err, failure)
		}},
		{"RawConn, Write", func(c *Conn) error {
			raw, err := c.SyscallConn()
			lingertest.Must(t, err)
			b := make([]byte, 1<<20)
			var failure error
			err = raw.Write(func(fd uintptr) bool {
				for failure == nil {
					_, failure = unix.Write(int(fd), b)
				}
				full := failure == unix.EAGAIN
				if full {
					failure = nil
				}
				return !full
			})
			return errors.Join(err, failure)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := trackedOn4(t, ListenConfig{Armed: true})
			client, conn := l.pairToForget(t)
			started, result := make(chan struct{}), make(chan error, 1)
			// The last mention is the argument of use.
			go func(c *Conn) {
				close(started)
				result <- tt.use(c)
			}(conn)
			conn = nil
			<-started
			collecting()()
			if n := l.Len(); n != 1 {
				t.Errorf("Len = %d while the connection is in use, want 1", n)
			}
			select {
			case err := <-result:
				t.Fatalf("the user's call returned %v", err)
			default:
			}
			rep, err := l.Abort()
			wantAborted(t, rep, err, 1)
			wantReset(t, client)
			if t.Failed() {
				return // the user's call may never return
			}
			if err := <-result; !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
				t.Errorf("the user's call returned %v, want ECONNRESET or EPIPE", err)
			}
		})
	}
}

// From one connection to another, in all directions, everything arrives while the garbage collector runs, and nobody mentions either.
func TestForgottenCopies(t *testing.T) {
	size := int64(lingertest.Times(3, 8)) << 20
	defer collecting()()
	for _, tt := range []struct {
		name string
		copy func(to, from *Conn) (int64, error)
	}{
		{"Conn to Conn", func(to, from *Conn) (int64, error) { return io.Copy(to, from) }},
		{"a part of a Conn to a Conn", func(to, from *Conn) (int64, error) { return io.CopyN(to, from, size) }},
		{"ReadFrom", func(to, from *Conn) (int64, error) { return to.ReadFrom(from) }},
		{"WriteTo", func(to, from *Conn) (int64, error) { return from.WriteTo(to) }},
		{"TCPConn to Conn", func(to, from *Conn) (int64, error) { return io.Copy(to, from.NetConn()) }},
		{"Conn to TCPConn", func(to, from *Conn) (int64, error) { return io.Copy(to.NetConn(), from) }},
		{"TCPConn to TCPConn", func(to, from *Conn) (int64, error) { return io.Copy(to.NetConn(), from.NetConn()) }},
		{"in the process", func(to, from *Conn) (int64, error) {
			return io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := trackedOn4(t, ListenConfig{Armed: true})
			source, from := l.pairToForget(t)
			sink, to := l.pairToForget(t)
			var ends sync.WaitGroup
			ends.Go(func() {
				if _, err := source.Write(make([]byte, size)); err != nil {
					t.Errorf("the source: %v", err)
				}
				source.CloseWrite()
			})
			ends.Go(func() {
				// The end is that of a connection that was forgotten.
				if n, err := io.Copy(io.Discard, sink); n != size || err != nil {
					t.Errorf("the sink read %d bytes, %v, want %d", n, err, size)
				}
			})
			if n, err := tt.copy(to, from); n != size || err != nil {
				t.Errorf("copied %d bytes, %v, want %d", n, err, size)
			}
			ends.Wait()
			lingertest.Wait(t, "both are closed", func() bool { return l.Len() == 0 })
		})
	}
}

// The user of a connection, the teardown and the collector meet in every order, and each connection is told of once.
func TestForgottenWhileAborting(t *testing.T) {
	for round := range lingertest.Times(20, 200) {
		var set Conns
		s := listen(t, families[0])
		const connections = 20
		var mu sync.Mutex
		told := make(map[int]int)
		var clients []*net.TCPConn
		stop := collecting()
		for i := range connections {
			clients = append(clients, s.dial(t))
			below, err := s.AcceptTCP()
			lingertest.Must(t, err)
			conn, _ := set.Add(below, func(bool) {
				mu.Lock()
				defer mu.Unlock()
				told[i]++
			})
			if i%2 == 0 {
				go conn.Close()
			}
		}
		if round%2 == 0 {
			set.AbortAll(Open)
		}
		lingertest.Collect(t, "all are told of", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(told) == connections
		})
		stop()
		for i, n := range told {
			if n != 1 {
				t.Errorf("connection %d was told of %d times", i, n)
			}
		}
		if n := set.Len(); n != 0 {
			t.Errorf("Len = %d, want 0", n)
		}
		for _, client := range clients {
			client.Close()
		}
		s.Close()
	}
}

// Whoever is told of a close may call what he likes: no lock is held.
func TestClosedCallsBack(t *testing.T) {
	s := listen(t, families[0])
	client := s.dial(t)
	below, err := s.AcceptTCP()
	lingertest.Must(t, err)
	var set Conns
	var conn *Conn
	told := make(chan error, 1)
	conn, _ = set.Add(below, func(aborted bool) {
		_ = conn.Abort()
		set.AbortAll(Open)
		told <- conn.Close()
	})
	closed := make(chan error, 1)
	go func() { closed <- conn.Close() }()
	select {
	case err := <-closed:
		lingertest.Must(t, err)
	case <-time.After(lingertest.Patience):
		t.Fatal("Close does not return")
	}
	if err := <-told; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close = %v, want net.ErrClosed", err)
	}
	wantWhole(t, client, "")
}
