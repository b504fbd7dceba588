//go:build linux

package poller

import (
	"io"
	"net/http"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
)

// file is a regular file that an answer is copied from. The kernel can send it without a detour by this process (sendfile(2)).
type file struct {
	raw   syscall.RawConn
	limit *io.LimitedReader // nil: all of it
}

// leastFile is what has to be left of an answer for it to be worth the system calls.
const leastFile = 32 << 10

// fileOf returns the file that r reads, if it does, as what http.ServeContent copies, and os.File.WriteTo, does, and if it may be sent.
func (w *responseWriter) fileOf(r io.Reader) (f file, ok bool) {
	if w.x.secure {
		return f, false
	}
	if limit, is := r.(*io.LimitedReader); is {
		if limit.N < leastFile {
			return f, false
		}
		f.limit, r = limit, limit.R
	}
	source, ok := r.(syscall.Conn) // for what os.File.WriteTo copies is of a type of package os's own
	if !ok {
		return f, false
	}
	var err error
	if f.raw, err = source.SyscallConn(); err != nil {
		return f, false
	}
	regular := false
	err = f.raw.Control(func(fd uintptr) {
		var stat unix.Stat_t
		regular = unix.Fstat(int(fd), &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG
	})
	return f, err == nil && regular
}

// sendTo has the kernel send up to n bytes to a socket, 0 at the end of the file.
func (f file) sendTo(socket int, n int64) (sent int, err error) {
	if f.limit != nil {
		n = min(n, f.limit.N)
	}
	const most = 1 << 30 // what the system call takes
	for called := false; n > 0 && (!called || err == unix.EINTR); called = true {
		if e := f.raw.Read(func(fd uintptr) bool {
			sent, err = unix.Sendfile(socket, int(fd), nil, int(min(n, most)))
			return true
		}); e != nil {
			return 0, e
		}
	}
	if err != nil {
		return 0, err
	}
	if f.limit != nil {
		f.limit.N -= int64(sent)
	}
	return sent, nil
}

// sendFile sends what f has of the content that is left. It returns early, and without an error, where that is not possible, or goes wrong:
// to copy is, then, or it finds out what is wrong. An error means that the answer cannot be completed any more.
func (w *responseWriter) sendFile(f file) (n int64, err error) {
	w.mu.Lock()
	defer w.unlock()
	if w.accept(0) != nil || !w.head.hasLength || w.method == http.MethodHead {
		return 0, nil
	}
	left := w.head.length - w.written
	if left < leastFile {
		return 0, nil
	}
	if !w.encoded || len(w.w.content) > 0 {
		w.x.holdBack(true) // a segment less, and one wake-up of the client's
		err := w.emit(nil, false)
		if w.x.holdBack(false); err != nil {
			return 0, err
		}
	}
	if w.framing.Kind != httpcodec.Length {
		return 0, nil
	}
	socket, err := w.x.borrow()
	if err != nil {
		return 0, nil
	}
	defer unix.Close(socket)
	for left > 0 {
		if err := w.x.mayWrite(); err != nil {
			w.broken = err
			return n, err
		}
		sent, err := f.sendTo(socket, left)
		switch {
		case err == unix.EAGAIN:
			if err := w.x.awaitWritable(); err != nil {
				w.broken = err
				return n, err
			}
			continue
		case err != nil, sent == 0:
			return n, nil
		}
		left -= int64(sent)
		n += int64(sent)
		w.written += int64(sent)
		w.sent += int64(sent)
	}
	return n, nil
}

// borrow returns another descriptor of the connection, for system calls during which x.mu is not held, since they may wait for a disk. The caller closes it.
// If the loop closes its own before, the client sees that then only; a reset it sees at once.
func (x *exchange) borrow() (fd int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if why := x.whyNotLocked(); why != nil {
		return -1, why
	}
	x.conn.borrowed = true
	fd, err = unix.FcntlInt(uintptr(x.fd), unix.F_DUPFD_CLOEXEC, 0)
	return fd, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
}

// holdBack has what is sent from here on wait for what follows, or not any more. It goes out after 200 ms in any case.
func (x *exchange) holdBack(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.more = on
}

// mayWrite returns why the handler's writes fail, if they do.
func (x *exchange) mayWrite() error {
	_, err := x.attempt(&x.write, unix.EPOLLOUT, func() error { return nil })
	return err
}

// awaitWritable waits for the kernel to take more of the answer, or nearly. It fails as send does.
func (x *exchange) awaitWritable() error {
	waited := false
	return x.stalls(x.transfer(&x.write, unix.EPOLLOUT, x.run.cfg.writeTimeout, func() error {
		if waited {
			return nil
		}
		waited = true
		return unix.EAGAIN
	}))
}
