//go:build linux

package linger

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// infoOf returns what All says of the connection with that client.
func (l *listening) infoOf(client net.Conn) (info ConnInfo, ok bool) {
	for info := range l.All() {
		if info.Remote == client.LocalAddr().(*net.TCPAddr).AddrPort() {
			return info, true
		}
	}
	return info, false
}

func TestListenerAll(t *testing.T) {
	for _, kind := range []struct {
		name, address string
		mptcp         bool
	}{
		{name: "IPv4", address: "127.0.0.1:0"},
		{name: "IPv6", address: "[::1]:0"},
		{name: "MPTCP", address: "127.0.0.1:0", mptcp: true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			l := listenTracked(t, ListenConfig{}, kind.address, kind.mptcp)
			began := time.Now()
			quiet, _ := l.pair(t)
			sender, _ := l.pair(t)
			finished, _ := l.pair(t)
			vanished, gone := l.pair(t)
			_, closed := l.pair(t)
			say(t, sender, "hello")
			lingertest.Must(t, finished.CloseWrite())
			lingertest.Must(t, vanished.Close()) // by RST
			lingertest.Must(t, closed.Close())
			if _, err := gone.Read(make([]byte, 1)); err == nil {
				t.Fatal("a client that is gone was read from")
			}

			info, ok := l.infoOf(quiet)
			if !ok || info.Local != l.addr || info.State != sockdiag.Established || info.RecvQueue != 0 || info.SendQueue != 0 ||
				info.Accepted.Before(began) || info.Accepted.After(time.Now()) {
				t.Errorf("a quiet connection is %+v", info)
			}
			lingertest.Wait(t, "five bytes of input", func() bool {
				info, ok := l.infoOf(sender)
				return ok && info.RecvQueue == 5 && info.State == sockdiag.Established
			})
			if !kind.mptcp { // which tells its own end in another way
				lingertest.Wait(t, "the FIN of a client", func() bool {
					info, ok := l.infoOf(finished)
					return ok && info.State == sockdiag.CloseWait
				})
				if info, ok := l.infoOf(vanished); !ok || info.State != sockdiag.Close {
					t.Errorf("a connection that its client has reset is %+v, %v, want CLOSE", info, ok)
				}
			}
			n := 0
			for range l.All() {
				n++
			}
			if n != 4 || l.Len() != 4 {
				t.Errorf("All yields %d, Len = %d, want 4", n, l.Len())
			}
			for range l.All() {
				break // is allowed
			}
			_, err := l.Abort()
			lingertest.Must(t, err)
			for info := range l.All() {
				t.Errorf("All yields %+v after Abort", info)
			}
		})
	}
}

// Time since the last data goes on while nothing comes, and begins anew with what comes and goes.
func TestConnInfoIdle(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	client, conn := l.pair(t)
	const while = 40 * time.Millisecond // many ticks of the kernel's clock
	idle := func() {
		t.Helper()
		lingertest.Wait(t, "an idle connection", func() bool {
			info, _ := l.infoOf(client)
			return info.SinceReceived >= while && info.SinceSent >= while && info.Idle() >= while
		})
	}
	// They are compared with each other, not with a clock of ours.
	idle()
	say(t, client, "hello")
	lingertest.Wait(t, "that something came", func() bool {
		info, _ := l.infoOf(client)
		return info.SinceReceived < info.SinceSent && info.Idle() == info.SinceReceived
	})
	idle()
	say(t, conn, "hello")
	lingertest.Wait(t, "that something went", func() bool {
		info, _ := l.infoOf(client)
		return info.SinceSent < info.SinceReceived && info.Idle() == info.SinceSent
	})
}

func TestAbortIf(t *testing.T) {
	l := listenTracked(t, ListenConfig{}, "[::]:0", false)
	victim, _ := l.pair(t)
	spared, conn := l.pair(t)
	_, closed := l.pair(t)
	lingertest.Must(t, closed.Close())
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	if n := l.AbortIf(func(i ConnInfo) bool { return !loopback.Contains(i.Remote.Addr()) && !i.Remote.Addr().Is6() }); n != 0 {
		t.Errorf("AbortIf of nobody = %d, want 0", n)
	}
	selector := func(i ConnInfo) bool { return i.Remote.Port() == uint16(victim.LocalAddr().(*net.TCPAddr).Port) }
	if n := l.AbortIf(selector); n != 1 {
		t.Errorf("AbortIf = %d, want 1", n)
	}
	wantReset(t, victim)
	if n := l.AbortIf(selector); n != 0 {
		t.Errorf("the second AbortIf = %d, want 0", n)
	}
	if n := l.Len(); n != 1 {
		t.Errorf("Len = %d, want 1", n)
	}
	say(t, conn, "alive")
	lingertest.Must(t, conn.Close())
	wantWhole(t, spared, "alive")
	if n := l.AbortIf(func(ConnInfo) bool { return true }); n != 0 {
		t.Errorf("AbortIf of none = %d, want 0", n)
	}
	rep, err := l.Abort()
	if err != nil || rep.Connections.Total() != 0 || !rep.Complete() {
		t.Errorf("Abort = %v, %v, want none", rep, err)
	}
	if n := l.AbortIf(func(ConnInfo) bool { return true }); n != 0 {
		t.Errorf("AbortIf after Abort = %d, want 0", n)
	}
}

// Connections that come and go while others are listed and aborted: each is counted once, and what the selector has not
// chosen is not harmed.
func TestAllWhileTheyCome(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Armed: true})
	const clients, rounds = 4, 100
	var serving, dialling, watching sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				c.Read(make([]byte, 1))
				c.Write([]byte("a"))
			})
		}
	})
	var stop atomic.Bool
	var aborted, reset atomic.Int64
	for range 2 {
		watching.Go(func() {
			for !stop.Load() {
				for info := range l.All() {
					if info.Local != l.addr {
						t.Errorf("All yields %+v", info)
					}
				}
				aborted.Add(int64(l.AbortIf(func(i ConnInfo) bool { return i.Remote.Port()%8 == 0 })))
			}
		})
	}
	for range clients {
		dialling.Go(func() {
			for range rounds {
				c, err := net.Dial("tcp", l.addr.String())
				if errors.Is(err, unix.ECONNRESET) {
					reset.Add(1) // so soon
					continue
				}
				if err != nil {
					t.Errorf("Dial = %v", err)
					return
				}
				chosen := c.LocalAddr().(*net.TCPAddr).Port%8 == 0
				if !chosen {
					c.Write([]byte("q"))
				}
				c.SetReadDeadline(time.Now().Add(lingertest.Patience))
				n, err := c.Read(make([]byte, 1))
				switch {
				case chosen && errors.Is(err, unix.ECONNRESET):
					reset.Add(1)
				case !chosen && n == 1:
				default:
					t.Errorf("a client (chosen: %v) read %d bytes, %v", chosen, n, err)
				}
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		})
	}
	dialling.Wait()
	stop.Store(true)
	watching.Wait()
	if aborted.Load() != reset.Load() || reset.Load() == 0 {
		t.Errorf("AbortIf says %d in all, %d clients were reset", aborted.Load(), reset.Load())
	}
	_, err := l.Abort()
	lingertest.Must(t, err)
	serving.Wait()
}
