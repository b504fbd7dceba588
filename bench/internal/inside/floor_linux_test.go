//go:build linux

package inside

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }

// Each way ends every connection with RST, and leaves nothing open for the end of the process to close.
func TestFloorAborts(t *testing.T) {
	const n = 300
	for way, name := range map[floorWay]string{inPlace: "in place", byClose: "by close"} {
		t.Run(name, func(t *testing.T) {
			f := floorServer{way: way}
			if err := f.listen(netip.MustParseAddrPort("127.0.0.1:0"), false); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(f.wake)
			local, err := unix.Getsockname(f.listener)
			if err != nil {
				t.Fatal(err)
			}
			var served sync.WaitGroup
			served.Go(func() {
				if err := f.serve(); err != nil {
					t.Error(err)
				}
			})
			addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(local.(*unix.SockaddrInet4).Port))
			clients := make([]net.Conn, n)
			for i := range clients {
				if clients[i], err = net.Dial("tcp", addr.String()); err != nil {
					t.Fatal(err)
				}
				defer clients[i].Close()
				if _, err := io.WriteString(clients[i], "GET / HTTP/1.1\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if _, err := clients[i].Read(make([]byte, 1<<10)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := unix.Write(f.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
			served.Wait()
			f.abort()
			if _, err := unix.FcntlInt(uintptr(f.epoll), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("the epoll is still there: %v", err)
			}
			live := 0
			for fd, is := range f.live {
				if !is {
					continue
				}
				live++
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
					t.Errorf("descriptor %d is still there: %v", fd, err)
				}
			}
			if live != n {
				t.Errorf("%d were live, want %d", live, n)
			}
			for i, c := range clients {
				if err := c.SetDeadline(time.Now().Add(lingertest.Patience)); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("client %d reads %v, want ECONNRESET", i, err)
				}
			}
			if left := lingertest.Leftover(addr.Port()); left != "" {
				t.Errorf("left:\n%s", left)
			}
		})
	}
}
