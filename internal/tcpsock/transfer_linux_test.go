//go:build linux

package tcpsock

import (
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }

// On files that block, nothing waits.
func TestTransferNeverWaits(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
	got := make([]byte, 10)
	if n, err := Recv(fds[1], got); n != 0 || err != unix.EAGAIN {
		t.Errorf("Recv of nothing = %d, %v, want 0, EAGAIN", n, err)
	}
	if n, err := Send(fds[0], []byte("hello")); n != 5 || err != nil {
		t.Errorf("Send = %d, %v", n, err)
	}
	if n, err := Recv(fds[1], got); string(got[:n]) != "hello" || err != nil {
		t.Errorf("Recv = %q, %v", got[:n], err)
	}
	for err == nil {
		_, err = Send(fds[0], make([]byte, 64<<10))
	}
	if err != unix.EAGAIN {
		t.Errorf("Send with full buffers: %v, want EAGAIN", err)
	}
	lingertest.Must(t, unix.Shutdown(fds[1], unix.SHUT_RD))
	if n, err := Send(fds[0], got); n != 0 || err != unix.EPIPE {
		t.Errorf("Send to who does not read = %d, %v, want 0, EPIPE", n, err)
	}
	lingertest.Must(t, unix.Shutdown(fds[0], unix.SHUT_WR))
	for n := 1; n > 0; {
		n, err = Recv(fds[1], make([]byte, 64<<10))
	}
	if err != nil {
		t.Errorf("Recv at the end: %v, want 0 bytes", err)
	}
}
