//go:build linux

package linger

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// A program that starts others all the time has children that hold each of its descriptors until they execute something, whatever it
// closes meanwhile. No port is said to be taken for that.
func TestCheckFreeWhileForking(t *testing.T) {
	over := make(chan struct{})
	var forking sync.WaitGroup
	for range 4 {
		forking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					_ = exec.Command("/bin/true").Run()
				}
			}
		})
	}
	defer forking.Wait()
	defer close(over)
	for range lingertest.Times(400, 4000) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		lingertest.Must(t, err)
		lingertest.Must(t, ln.Close())
		// The second finds what the first one has bound.
		for range 2 {
			if err := CheckFree(ln.Addr().(*net.TCPAddr).AddrPort()); err != nil {
				t.Fatalf("%v\n%s", err, lingertest.Leftover(ln.Addr().(*net.TCPAddr).AddrPort().Port()))
			}
		}
	}
}

// A child that holds a port for good does.
func TestCheckFreeOfAChild(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	lingertest.Must(t, err)
	_, release := lingertest.HoldElsewhere(t, ln)
	lingertest.Must(t, ln.Close())
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	if err := CheckFree(addr); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("CheckFree = %v, want EADDRINUSE", err)
	}
	release()
	lingertest.Must(t, CheckFree(addr))
}

// linkLocal is an address that is valid on one link only, which its zone names (RFC 4007).
const linkLocal = "fe80::1234"

func TestCheckFreeWithAZone(t *testing.T) {
	if !lingertest.Elsewhere(t, func() error {
		if err := lingertest.Network(nil); err != nil {
			return err
		}
		out, err := exec.Command("ip", "-6", "addr", "add", linkLocal+"/64", "dev", "lo", "nodad").CombinedOutput()
		if err != nil {
			return errors.New(string(out))
		}
		return nil
	}) {
		return
	}
	for _, zone := range []string{"lo", "1"} {
		ln, err := net.Listen("tcp6", "["+linkLocal+"%lo]:0")
		lingertest.Must(t, err)
		addr := netip.AddrPortFrom(netip.MustParseAddr(linkLocal+"%"+zone), uint16(ln.Addr().(*net.TCPAddr).Port))
		if err := CheckFree(addr); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("CheckFree(%s) = %v while somebody listens there, want EADDRINUSE", addr, err)
		}
		lingertest.Must(t, ln.Close())
		if err := CheckFree(addr); err != nil {
			t.Errorf("CheckFree(%s) = %v, want nil", addr, err)
		}
	}
	addr := netip.MustParseAddrPort("[" + linkLocal + "%nowhere]:8080")
	if err := CheckFree(addr); err == nil || errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("CheckFree(%s) = %v, want an error that there is no such interface", addr, err)
	}
}
