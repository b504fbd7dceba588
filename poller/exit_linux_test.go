//go:build linux

package poller

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// A process that ends is told of no descriptor that is closed; all else is as it is otherwise.
func TestExitAfterClose(t *testing.T) {
	const n = 50
	for name, end := range map[string]func(*served) error{
		"Close":    func(s *served) error { return s.Close() },
		"Shutdown": func(s *served) error { return s.Shutdown(context.Background()) },
	} {
		for _, exits := range []bool{false, true} {
			s := start(t, &Server{ExitAfterClose: exits})
			clients := make([]*client, n)
			for i := range clients {
				clients[i] = s.dial(t)
				clients[i].get("/")
			}
			if err := end(s); err != nil {
				t.Errorf("%s = %v", name, err)
			}
			for _, c := range clients {
				c.wantReset()
			}
			s.assertGone(t)
			if rep := s.Report(); rep.Connections.Total() != n || !rep.Complete() || rep.Steps.Done == 0 {
				t.Errorf("%s: %s", name, rep)
			}
			if closed := s.run.closed.Load() == n; closed == exits {
				t.Errorf("%s with ExitAfterClose %v has closed %d of %d descriptors", name, exits, s.run.closed.Load(), n)
			}
			if exits {
				close(s.run.aborted) // this process does not end
				for _, l := range s.run.loops {
					<-l.ended
				}
			}
		}
	}
}

// Descriptors of a process that ends are closed by the time that Close returns, but for those that a handler may still use. Whatever is opened under
// their numbers then stays open.
func TestExitClosesDescriptors(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g, ExitAfterClose: true, Loops: 2})
	for range 10 {
		s.dial(t).get("/free")
	}
	idle := s.descriptors()
	s.dial(t).send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	var held int
	for fd := range s.descriptors() {
		if !idle[fd] {
			held = fd
		}
	}
	lingertest.Must(t, s.Close())
	if _, err := unix.FcntlInt(uintptr(held), unix.F_GETFD, 0); err != nil {
		t.Errorf("the descriptor of a connection that a handler has: %v", err)
	}
	var others []*os.File
	for len(idle) > 0 {
		f, err := os.Open("/dev/null")
		lingertest.Must(t, err)
		defer f.Close()
		if others = append(others, f); len(others) > 1000 {
			t.Fatalf("%d of the descriptors are not closed", len(idle))
		}
		delete(idle, int(f.Fd()))
	}
	close(s.run.aborted) // as if the kernel had refused something
	for _, l := range s.run.loops {
		<-l.ended
	}
	for _, f := range others {
		if _, err := f.Stat(); err != nil {
			t.Error("a loop has closed a file of somebody else:", err)
		}
	}
	s.assertGone(t)
}

// With a loop that is stuck in a handler no descriptor is closed, and Close returns all the same.
func TestExitWithAStuckLoop(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	s := start(t, &Server{ExitAfterClose: true, Loops: 2, StuckGrace: 100 * time.Millisecond, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/block" {
			close(entered)
			<-release
		}
	})})
	for range 10 {
		s.dial(t).get("/")
	}
	s.dial(t).send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	all := s.descriptors()
	if err := s.Close(); err == nil {
		t.Error("Close says nothing of the loop")
	}
	for fd := range all {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			t.Errorf("descriptor %d: %v", fd, err)
		}
	}
	close(release)
	close(s.run.aborted)
	for _, l := range s.run.loops {
		<-l.ended
	}
	s.assertGone(t)
}

// descriptors are those of the server's connections.
func (s *served) descriptors() map[int]bool {
	fds := make(map[int]bool)
	for fd := range s.run.table.Len() {
		if s.run.table.Has(fd) {
			fds[fd] = true
		}
	}
	return fds
}
