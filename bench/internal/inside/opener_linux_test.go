//go:build linux

package inside

import (
	"bufio"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// The floor's other end says so when all connections are open, holds them until its input ends, and leaves none.
func TestOpener(t *testing.T) {
	const n = 2*atATime + 7
	f := floorServer{}
	if err := f.listen(netip.MustParseAddrPort("127.0.0.1:0"), false); err != nil {
		t.Fatal(err)
	}
	local, err := unix.Getsockname(f.listener)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(local.(*unix.SockaddrInet4).Port))
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.serve(); err != nil {
			t.Error(err)
		}
	})
	in, hold := io.Pipe()
	said, out := io.Pipe()
	opened := make(chan error, 1)
	running.Go(func() {
		defer out.Close()
		opened <- Open(addr.String(), "127.0.0.9", strconv.Itoa(n), in, out)
	})
	if _, err := io.WriteString(hold, "\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "open\n" {
		t.Fatalf("it says %q, %v: %v", line, err, <-opened)
	}
	dump, err := sockdiag.Port(addr.Port())
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, s := range dump.Sockets {
		if s.State == sockdiag.Established && s.Remote.Addr() == netip.MustParseAddr("127.0.0.9") {
			open++
		}
	}
	if open != n {
		t.Errorf("%d connections are open, want %d", open, n)
	}
	hold.Close()
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if _, err := unix.Write(f.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	f.abort()
	_ = unix.Close(f.wake)
	if left := lingertest.Leftover(addr.Port()); left != "" {
		t.Errorf("left:\n%s", left)
	}
}

// Who is never told to begin opens nothing, and what is no address is an error.
func TestOpenerRefuses(t *testing.T) {
	if err := Open("127.0.0.1:1", "127.0.0.9", "5", strings.NewReader(""), io.Discard); err != nil {
		t.Error(err)
	}
	lingertest.ExpectError(t, Open("127.0.0.1:1", "127.0.0.9", "5", strings.NewReader("\n"), io.Discard), "connection refused")
	lingertest.ExpectError(t, Open("here", "there", "many", strings.NewReader("\n"), io.Discard), "not an ip:port", `"there"`, `"many"`)
}
