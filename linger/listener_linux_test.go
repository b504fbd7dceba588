//go:build linux

package linger

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// listening is a Listener under test.
type listening struct {
	*Listener
	*server // it owns the dialling; its own listener is the one below
}

// listenTracked wraps a listener of the test's own. No socket of an earlier test is on the port.
func listenTracked(t testing.TB, config ListenConfig, address string, mptcp bool) *listening {
	t.Helper()
	s := listenWith(t, address, mptcp)
	l, err := config.Wrap(s.TCPListener)
	lingertest.Must(t, err)
	return &listening{l, s}
}

func trackedOn4(t testing.TB, config ListenConfig) *listening {
	t.Helper()
	return listenTracked(t, config, families[0].address, false)
}

// pair connects a client, which ends by RST, and accepts it.
func (l *listening) pair(t testing.TB) (client *net.TCPConn, conn *Conn) {
	t.Helper()
	client = l.dial(t)
	c, err := l.Listener.Accept()
	lingertest.Must(t, err)
	t.Cleanup(func() {
		c.Close()
	})
	return client, c.(*Conn)
}

// acceptAll calls Accept until it fails, as a server does. What it has accepted stays open until the test's end.
func (l *listening) acceptAll(t testing.TB) (accepted <-chan net.Conn, end <-chan error) {
	conns, done := make(chan net.Conn, 10_000), make(chan error, 1)
	go func() {
		for {
			c, err := l.Listener.Accept()
			if err != nil {
				done <- err
				close(done)
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() {
		l.Listener.Close()
		l.stopAccept()
		<-done
		for len(conns) > 0 {
			(<-conns).Close()
		}
	})
	return conns, done
}

// wantFree fails unless the port is free.
func (l *listening) wantFree(t testing.TB) {
	t.Helper()
	if c := sockdiagtest.Count(t, l.addr.Port()); c.Total() != 0 {
		t.Errorf("left on the port: %v, want none\n%s", c, lingertest.Leftover(l.addr.Port()))
	}
	if err := CheckFree(l.addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// wantAborted fails unless the teardown has reset n connections, and left nothing.
func wantAborted(t testing.TB, rep Report, err error, n int) {
	t.Helper()
	if want := (Tally{Open: n}); err != nil || rep.Mode != ModeAbort || rep.Connections != want || !rep.Complete() || !rep.Left.Free() ||
		rep.Refused != 0 || rep.HandlersRunning >= 0 || rep.AtDeadline.Total() != 0 {
		t.Errorf("the end is %v, %+v, want %d connections aborted and nothing left", err, rep, n)
	}
	s := rep.Steps
	if s.Refused <= 0 || s.PortFree < s.Refused || s.Verified < s.PortFree || s.Done < s.Verified || s.Drained != 0 {
		t.Errorf("the steps are %+v, want them in order", s)
	}
}

// Abort resets connections in every state that a listener can have one in, and their users need do nothing.
func TestListenerAbort(t *testing.T) {
	for _, kind := range []struct {
		name, address string
		mptcp         bool
		armed         bool
	}{
		{name: "IPv4", address: "127.0.0.1:0"},
		{name: "IPv4, armed", address: "127.0.0.1:0", armed: true},
		{name: "IPv6", address: "[::1]:0"},
		{name: "both families", address: "[::]:0"},
		{name: "MPTCP", address: "127.0.0.1:0", mptcp: true},
		{name: "MPTCP, armed", address: "127.0.0.1:0", mptcp: true, armed: true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			l := listenTracked(t, ListenConfig{Armed: kind.armed}, kind.address, kind.mptcp)
			clients := make(map[string]*net.TCPConn)
			conns := make(map[string]*Conn)
			for _, state := range []string{"new", "unread input", "unread output", "blocked reader", "half-closed by the client", "forgotten"} {
				clients[state], conns[state] = l.pair(t)
			}
			say(t, clients["unread input"], "hello")
			say(t, conns["unread output"], "hello")
			lingertest.Must(t, clients["half-closed by the client"].CloseWrite())
			if n, err := conns["half-closed by the client"].Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("Read = %d, %v, want EOF", n, err)
			}
			blocked, users := make(chan error, 2), 1
			reader := conns["blocked reader"]
			go func() {
				_, err := reader.Read(make([]byte, 1))
				blocked <- err
			}()
			if !kind.mptcp {
				// The peer of an MPTCP connection with a closed window may learn nothing: see Abort.
				client, conn := l.pair(t)
				clients["full send buffer"], conns["full send buffer"] = client, conn
				users++
				go func() {
					_, err := io.Copy(conn, zeros{})
					blocked <- err
				}()
				lingertest.Wait(t, "a full send buffer", func() bool {
					for info := range l.All() {
						if info.SendQueue > 8<<10 {
							return true
						}
					}
					return false
				})
			}
			clients["in the queue"] = l.dial(t)
			lingertest.Wait(t, "a connection in the queue", l.queueWaits)

			rep, err := l.Abort()
			wantAborted(t, rep, err, len(conns))
			l.wantFree(t)
			for state, client := range clients {
				if _, err := end(client); !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("%s: the client read %v, want ECONNRESET", state, err)
				}
			}
			for range users {
				// ENOTCONN is what those of MPTCP get.
				if err := <-blocked; !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ENOTCONN) {
					t.Errorf("the user of a connection got %v, want ECONNRESET or the like", err)
				}
			}
			if n := l.Len(); n != 0 {
				t.Errorf("Len = %d, want 0", n)
			}
			for state, c := range conns {
				if err := c.Close(); err != nil {
					t.Errorf("%s: Close after Abort = %v", state, err)
				}
			}
			if _, err := l.Listener.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept after Abort = %v, want net.ErrClosed", err)
			}
			again, err := l.Abort()
			if again.Steps != rep.Steps || err != nil || l.Report().Steps != rep.Steps {
				t.Errorf("the second Abort = %+v, %v, want what the first returned", again, err)
			}
			lingertest.Must(t, l.Listener.Close())
			lingertest.Must(t, l.Release())
		})
	}
}

func say(t testing.TB, w io.Writer, data string) {
	t.Helper()
	_, err := io.WriteString(w, data)
	lingertest.Must(t, err)
}

// zeros is a source without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// While clients keep dialling, many goroutines abort: each client that got through is told, all calls return the same, and
// nobody finds a connection alive afterwards.
func TestListenerAbortWhileDialling(t *testing.T) {
	for range 10 {
		l := trackedOn4(t, ListenConfig{})
		_, ended := l.acceptAll(t)
		var dialling, calls sync.WaitGroup
		for range 4 {
			dialling.Go(func() {
				for {
					c, err := net.Dial("tcp", l.addr.String())
					if err != nil {
						// EPIPE is that of a reset which met a connection whose other side had ended.
						if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
							t.Errorf("Dial = %v", err)
						}
						return
					}
					defer c.Close()
					c.SetDeadline(time.Now().Add(lingertest.Patience))
					// One whose handshake the close has met is told when it sends something: see Abort.
					_, err = c.Write([]byte("hello"))
					defer func() {
						if err == nil {
							_, err = c.Read(make([]byte, 1))
						}
						if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
							t.Errorf("a client got %v, want ECONNRESET", err)
						}
					}()
				}
			})
		}
		lingertest.Wait(t, "some connections", func() bool { return l.Len() > 20 })
		reports := make([]Report, 3)
		for i := range reports {
			calls.Go(func() {
				var err error
				if reports[i], err = l.Abort(); err != nil {
					t.Errorf("Abort = %v", err)
				}
				if n := l.Len(); n != 0 {
					t.Errorf("Len after Abort = %d, want 0", n)
				}
			})
		}
		calls.Wait()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v, want net.ErrClosed", err)
		}
		dialling.Wait()
		for _, rep := range reports {
			// What is left of such a handshake.
			rep.Left.Residue[sockdiag.SynRecv] = 0
			if rep.Started != reports[0].Started || rep.Steps != reports[0].Steps || !rep.Complete() || !rep.Left.Free() {
				t.Errorf("a report is %v,\nthe first is %v", rep, reports[0])
			}
		}
		sockdiagtest.WaitCount(t, l.addr.Port(), sockdiag.Counts{})
		l.wantFree(t)
	}
}

// The zero-config way, and what is different in it.
func TestListen(t *testing.T) {
	l, err := Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	lingertest.Must(t, err)
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	raw, err := l.SyscallConn()
	lingertest.Must(t, err)
	lingertest.Must(t, raw.Control(func(fd uintptr) {
		if protocol, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL); protocol != unix.IPPROTO_TCP {
			t.Errorf("the protocol is %d, %v, want TCP", protocol, err)
		}
		if armed, err := Armed(int(fd)); armed || err != nil {
			t.Errorf("Armed = %v, %v, want false", armed, err)
		}
	}))
	client, err := net.Dial("tcp", addr.String())
	lingertest.Must(t, err)
	defer client.Close()
	c, err := l.Accept()
	lingertest.Must(t, err)
	defer c.Close()
	rep, err := l.Abort()
	wantAborted(t, rep, err, 1)
	if rep.Address != addr.String() {
		t.Errorf("the address is %q, want %q", rep.Address, addr)
	}
	lingertest.Must(t, CheckFree(addr))

	if _, err := Listen("tcp", "256.0.0.1:0"); err == nil {
		t.Error("Listen on an address that is none succeeded")
	}
	if _, err := (ListenConfig{Spread: -1}).Listen(context.Background(), "tcp", "127.0.0.1:0"); err == nil {
		t.Error("Listen with a bad option succeeded")
	}
}

// What cannot be wrapped is refused, and lives on.
func TestWrapRefuses(t *testing.T) {
	s := listen(t, families[0])
	l, err := Wrap(s.TCPListener)
	lingertest.Must(t, err)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	closed.Close()
	bad := listen(t, families[0])
	for _, tt := range []struct {
		name   string
		ln     net.Listener
		config ListenConfig
		want   string // in the error
	}{
		{"a TLS listener", tls.NewListener(s.TCPListener, &tls.Config{}), ListenConfig{}, "tls.NewListener"},
		{"a Listener", l, ListenConfig{}, "already"},
		{"one that is closed", closed, ListenConfig{}, "use of closed network connection"},
		{"a bad option", bad, ListenConfig{Spread: -1}, "ListenConfig.Spread"},
	} {
		if _, err := tt.config.Wrap(tt.ln); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Wrap of %s = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	client := bad.dial(t)
	c, err := bad.Accept()
	lingertest.Must(t, err)
	lingertest.Must(t, c.Close())
	wantWhole(t, client, "")
	_, err = l.Abort()
	lingertest.Must(t, err)
}

// A listener whose type is its own, and whose connections are or are not.
type ownListener struct {
	*net.TCPListener
	own bool
}

type ownConn struct{ *net.TCPConn }

func (l ownListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil || !l.own {
		return c, err
	}
	return ownConn{c}, nil
}

func TestWrapOther(t *testing.T) {
	for _, own := range []bool{false, true} {
		for _, armed := range []bool{false, true} {
			s := listen(t, families[0])
			ln, err := ListenConfig{Armed: armed}.Wrap(ownListener{s.TCPListener, own})
			lingertest.Must(t, err)
			l := &listening{ln, s}
			var clients [3]*net.TCPConn
			var conns [3]net.Conn
			for i := range conns {
				clients[i] = s.dial(t)
				conns[i], err = ln.Accept()
				lingertest.Must(t, err)
				if _, isConn := conns[i].(*Conn); isConn == own {
					t.Fatalf("Accept returned a %T", conns[i])
				}
			}
			// What servers look for, where the connection is not one of package net.
			c := conns[0].(interface {
				net.Conn
				syscall.Conn
				io.ReaderFrom
				io.WriterTo
				NetConn() net.Conn
				CloseWrite() error
				CloseRead() error
				Abort() error
			})
			say(t, clients[0], "ping")
			lingertest.Must(t, clients[0].CloseWrite())
			var got strings.Builder
			_, err = c.WriteTo(&got)
			lingertest.Must(t, err)
			_, err = c.ReadFrom(strings.NewReader(got.String() + " pong"))
			lingertest.Must(t, err)
			lingertest.Must(t, c.CloseRead())
			lingertest.Must(t, c.CloseWrite())
			wantWhole(t, clients[0], "ping pong")
			lingertest.Must(t, c.Close())

			lingertest.Must(t, conns[1].(interface{ Abort() error }).Abort())
			wantReset(t, clients[1])
			if n := ln.Len(); n != 1 {
				t.Errorf("Len = %d, want 1", n)
			}
			rep, err := ln.Abort()
			if err != nil || rep.Connections != (Tally{Open: 1}) {
				t.Errorf("Abort = %v, %v, want 1", rep, err)
			}
			wantReset(t, clients[2])
			for _, c := range conns[1:] {
				lingertest.Must(t, c.Close())
			}
			_ = l
		}
	}

	c := &otherConn{handle{&entry{below: hiddenConn{}}}}
	if err := errors.Join(c.CloseRead(), c.CloseWrite()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("half-closing what cannot be = %v, want ErrUnsupported", err)
	}
}

// A tls.Listener goes around ours. Clients that are in the handshake and after it are told by RST, without close_notify.
func TestListenerTLS(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Armed: true})
	server, client := selfSigned(t)
	around := tls.NewListener(l.Listener, server)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := around.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				io.Copy(io.Discard, c)
			})
		}
	})
	silent, greeting := l.dial(t), l.dial(t)
	say(t, greeting, "\x16\x03\x01\x02\x00\x01") // the beginning of a ClientHello
	shaken := tls.Client(l.dial(t), client)
	lingertest.Must(t, shaken.Handshake())
	lingertest.Wait(t, "three connections", func() bool { return l.Len() == 3 })

	rep, err := l.Abort()
	wantAborted(t, rep, err, 3)
	l.wantFree(t)
	wantReset(t, silent)
	wantReset(t, greeting)
	if _, err := shaken.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the TLS client read %v, want ECONNRESET", err)
	}
	serving.Wait()
}

// A unix listener is closed without RST, and says so.
func TestListenerUnix(t *testing.T) {
	for _, network := range []string{"unix", "unixpacket"} {
		t.Run(network, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "socket")
			l, err := ListenConfig{Armed: true}.Listen(context.Background(), network, path)
			lingertest.Must(t, err)
			var clients, conns [3]net.Conn
			for i := range clients {
				clients[i], err = net.Dial(network, path)
				lingertest.Must(t, err)
				defer clients[i].Close()
				conns[i], err = l.Accept()
				lingertest.Must(t, err)
				defer conns[i].Close()
			}
			say(t, conns[0], "whole")
			lingertest.Must(t, conns[0].Close())
			wantEnd := func(i int, data string) {
				t.Helper()
				clients[i].SetReadDeadline(time.Now().Add(lingertest.Patience))
				if b, err := io.ReadAll(clients[i]); string(b) != data || err != nil {
					t.Errorf("client %d read %q, %v, want %q and EOF", i, b, err, data)
				}
			}
			wantEnd(0, "whole")
			infos := 0
			for info := range l.All() {
				infos++
				if info.Accepted.IsZero() || info.Remote != (netip.AddrPort{}) || info.Idle() != 0 {
					t.Errorf("All yields %+v", info)
				}
			}
			if infos != 2 {
				t.Errorf("All yields %d, want 2", infos)
			}
			if err := conns[1].(interface{ Abort() error }).Abort(); !errors.Is(err, ErrNotTCP) {
				t.Errorf("Abort of a connection = %v, want ErrNotTCP", err)
			}
			wantEnd(1, "")
			rep, err := l.Abort()
			if !errors.Is(err, ErrNotTCP) || rep.Unverified == "" || rep.Complete() || rep.Connections != (Tally{Open: 1}) || rep.Refused != 1 {
				t.Errorf("Abort = %+v, %v, want ErrNotTCP and one closed", rep, err)
			}
			if s := rep.String(); !strings.Contains(s, "unix") || !strings.Contains(s, "1 by close") {
				t.Errorf("the report does not say how it ended:\n%s", s)
			}
			wantEnd(2, "")
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("Stat = %v, want the socket file to be gone", err)
			}
		})
	}
}

// A descriptor that somebody else has made blocking, as os/exec does with the File that it passes on, does not keep Abort
// waiting.
func TestListenerMadeBlocking(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	_, ended := l.acceptAll(t)
	f, err := l.TCPListener.File()
	lingertest.Must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	client := l.dial(t) // so that Accept is called again
	lingertest.Wait(t, "a connection, and the next Accept", func() bool {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		lingertest.Must(t, err)
		return l.Len() == 1 && flags&unix.O_NONBLOCK != 0
	})
	rep, err := l.Abort()
	if err == nil || rep.Left.Unowned != (sockdiag.Counts{sockdiag.Listen: 1}) {
		t.Errorf("Abort = %v, %v, want the File of the listener to be named", rep, err)
	}
	wantReset(t, client)
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
}
