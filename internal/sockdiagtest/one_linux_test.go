//go:build linux

package sockdiagtest_test

import (
	"net"
	"net/netip"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// What is said of one connection is what is said of it among all on the port, through all that it comes to.
func TestOne(t *testing.T) {
	sockdiagtest.NeedDestroy(t) // or TIME_WAIT would stay
	for _, host := range []string{"127.0.0.1", "::1"} {
		ln, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, netip.AddrPortFrom(netip.MustParseAddr(host), 0).String()))
		if err != nil {
			t.Logf("there is no %s: %v", host, err)
			continue
		}
		defer ln.Close()
		client, err := net.Dial("tcp", ln.Addr().String())
		lingertest.Must(t, err)
		defer client.Close()
		remote, local := client.LocalAddr().(*net.TCPAddr).AddrPort(), client.RemoteAddr().(*net.TCPAddr).AddrPort()
		expect := func(what string, state sockdiag.State, received uint32) {
			t.Helper()
			lingertest.Wait(t, what, func() bool {
				one, found := sockdiagtest.One(t, local, remote)
				return found && one.State == state && one.RecvQueue == received
			})
			one, _ := sockdiagtest.One(t, local, remote)
			dump, err := sockdiag.Port(local.Port())
			lingertest.Must(t, err)
			for _, s := range dump.Sockets {
				if s.Remote != remote {
					continue
				}
				s.Cookie, s.Interface = 0, 0
				if one != s {
					t.Errorf("%s: one is %+v, among all it is %+v", what, one, s)
				}
				return
			}
			t.Errorf("%s: %+v is not among all", what, one)
		}
		expect("it waits to be accepted", sockdiag.Established, 0)
		accepted, err := ln.Accept()
		lingertest.Must(t, err)
		_, err = client.Write([]byte("abc"))
		lingertest.Must(t, err)
		expect("something is to be read", sockdiag.Established, 3)
		if one, _ := sockdiagtest.One(t, local, remote); one.Inode == 0 {
			t.Error("it has no inode, although it was accepted")
		}
		if other, found := sockdiagtest.One(t, local, netip.AddrPortFrom(remote.Addr(), remote.Port()^1)); found {
			t.Errorf("a connection that nobody has made is %+v", other)
		}
		_, err = accepted.Read(make([]byte, 3))
		lingertest.Must(t, err)
		lingertest.Must(t, accepted.Close())
		expect("it is closed", sockdiag.FinWait2, 0)
		lingertest.Must(t, client.Close())
		expect("it is closed at both ends", sockdiag.TimeWait, 0)
		dump, err := sockdiag.Port(local.Port())
		lingertest.Must(t, err)
		for _, s := range dump.Sockets {
			if s.Remote == remote {
				_, err := sockdiag.Destroy([]sockdiag.Socket{s})
				lingertest.Must(t, err)
			}
		}
	}
}
