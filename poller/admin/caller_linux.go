//go:build linux

package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ListenUnix listens on a unix socket of that path with mode 0600, from the first moment on: who is not root and not this process's user
// cannot connect. It takes the place of one that nobody listens on any more; where somebody does, it is an error, unless takesOver is set:
// then who connects comes to this process from when ListenUnix has returned. Close removes the path, unless it has become another's.
func ListenUnix(path string, takesOver bool) (net.Listener, error) {
	if !takesOver {
		switch c, err := net.Dial("unix", path); {
		case err == nil:
			_ = c.Close()
			return nil, fmt.Errorf("cannot listen on unix:%s: another process does: stop that, or choose another path", path)
		case !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT): // such as a queue that is full
			return nil, fmt.Errorf("cannot listen on unix:%s, as another process may: choose another path: %w", path, err)
		}
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("cannot listen on unix:%s: there is a file that is no socket: remove it, or choose another path", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	// Made beside the path and renamed, so that there is no moment without a listener. The kernel makes it with the mode of the socket.
	beside := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	_ = os.Remove(beside)
	if err = unix.Fchmod(fd, 0o600); err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: beside})
	}
	if err == nil {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on unix:%s: %w", path, err)
	}
	fi, err := os.Lstat(beside)
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		_ = os.Remove(beside)
		return nil, fmt.Errorf("cannot listen on unix:%s: %w", path, err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on unix:%s: %w", path, err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	return &unixListener{ln.(*net.UnixListener), path, fi}, nil
}

// unixListener removes its path, if it is its own still.
type unixListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

func (l *unixListener) Close() error {
	if fi, err := os.Lstat(l.path); err == nil && os.SameFile(fi, l.made) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// callerOf is who is at the other end, as the kernel says (SO_PEERCRED, unix(7)), or by address.
func callerOf(c net.Conn) caller {
	if c.RemoteAddr().Network() == "tcp" {
		return caller{Address: c.RemoteAddr().String()}
	}
	below := c
	for {
		around, ok := below.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below = around.NetConn()
	}
	u, ok := below.(*net.UnixConn)
	if !ok {
		return caller{Address: c.RemoteAddr().String()}
	}
	who := caller{}
	if raw, err := u.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				who = caller{UID: new(int(cred.Uid)), GID: int(cred.Gid), PID: int(cred.Pid)}
			}
		})
	}
	return who
}

// ConnContext is for the ConnContext of the http.Server that serves what New returns: it has audit lines name who has connected.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, callerKey{}, callerOf(c))
}
