//go:build linux

package handover

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// successor is a process that this one has started to take over, and its parent, which is a child of this one's. The goroutine of HandOver
// owns it until it has agreed, and from then on one that hears what it says, to the end of the channel.
type successor struct {
	parent  *os.Process
	channel *net.UnixConn
	control *net.UnixConn  // to the parent
	said    chan message   // by both; closed when nobody says anything any more, and read by somebody until then
	process *os.Process    // nil until the parent has said which
	talk    sync.WaitGroup // of those that read channel, control and said
}

// start starts a successor with all that it inherits.
func (h *Handover) start() (*successor, error) {
	channel, theirs, err := newChannel()
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	control, parents, err := newChannel()
	if err != nil {
		_ = channel.Close()
		return nil, err
	}
	defer unix.Close(parents)
	s := &successor{channel: channel, control: control, said: make(chan message)}
	if s.parent, err = h.fork(theirs, parents); err != nil {
		_, _ = channel.Close(), control.Close()
		return nil, err
	}
	var both sync.WaitGroup
	for _, c := range []*net.UnixConn{channel, control} {
		both.Go(func() { readMessages(c, func(m message) { s.said <- m }) })
	}
	s.talk.Go(func() {
		both.Wait()
		close(s.said)
	})
	return s, nil
}

// newChannel returns a stream socket, and the descriptor of its other end.
func newChannel() (c *net.UnixConn, other int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("handover: %w", os.NewSyscallError("socketpair", err))
	}
	if c, err = openChannel(pair[0]); err != nil {
		_ = unix.Close(pair[1])
		return nil, -1, err
	}
	return c, pair[1], nil
}

// fork starts the parent, with the other ends of the channels.
func (h *Handover) fork(channel, control int) (*os.Process, error) {
	h.mu.Lock() // so that nothing is closed meanwhile
	defer h.mu.Unlock()
	if h.state == closed {
		return nil, ErrClosed
	}
	files := []uintptr{0, 1, 2}
	in := &inheritance{}
	var names []string
	for _, s := range h.sockets {
		files = append(files, uintptr(s.fd))
		in.Asked = append(in.Asked, s.asked)
		names = append(names, s.name)
	}
	in.Channel = len(files)
	files = append(files, uintptr(channel))
	h.before = slices.DeleteFunc(h.before, func(fd int) bool {
		if hungUp(fd) {
			_ = unix.Close(fd)
			return true
		}
		return false
	})
	before := slices.Clone(h.before)
	if h.predecessor != nil && !h.isGone() {
		if rc, err := h.predecessor.SyscallConn(); err == nil {
			_ = rc.Control(func(fd uintptr) {
				// A copy, as the number must stay this until the process is started.
				if own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); err == nil {
					before = append(before, own)
				}
			})
		}
	}
	for i, fd := range before {
		files = append(files, uintptr(fd))
		in.Before = append(in.Before, in.Channel+1+i)
	}
	defer func() {
		for _, fd := range before[len(h.before):] {
			_ = unix.Close(fd)
		}
	}()
	files = append(files, uintptr(control))
	env := h.options.Env
	if env == nil {
		env = os.Environ()
	}
	env, err := in.environment(env, names, startProgram)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	// Not os.StartProcess, whose files are made blocking, in all processes that share them.
	pid, _, err := syscall.StartProcess("/proc/self/exe", slices.Clone(os.Args), &syscall.ProcAttr{Dir: startDir, Env: env, Files: files})
	if err != nil {
		return nil, fmt.Errorf("handover: starting %s: %w", startProgram, err)
	}
	return os.FindProcess(pid)
}

func (h *Handover) isGone() bool {
	select {
	case <-h.gone:
		return true
	default:
		return false
	}
}

// hungUp reports whether the process at the other end of a channel has ended.
func hungUp(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// awaitReady waits until the successor is ready, and returns nil, or why it will not be.
func (s *successor) awaitReady(ctx context.Context, timeout time.Duration) error {
	var why, how string
	isReady := false
	silence := time.NewTimer(timeout)
	defer silence.Stop()
	for !isReady || s.process == nil {
		select {
		case m, ok := <-s.said:
			silence.Reset(timeout)
			switch {
			case !ok:
				return s.failed(how, why)
			case m.word == ready:
				isReady = true
			case m.word == reason:
				why = m.text
			case m.word == started:
				s.know(m)
			case m.word == ended:
				how = m.text
				// What it had said before is in the channel still. Its children may have the channel, too.
				_ = s.channel.SetReadDeadline(time.Now().Add(time.Second))
			}
		case <-ctx.Done():
			return fmt.Errorf("handover: the successor%s was not waited for, and killed: %w", s.pid(), ctx.Err())
		case <-silence.C:
			if why != "" {
				return fmt.Errorf("handover: the successor%s was not ready, and has said nothing for %s; it was killed; before, it has said: %s",
					s.pid(), timeout, why)
			}
			return fmt.Errorf("handover: the successor%s has said nothing for %s; it was killed", s.pid(), timeout)
		}
	}
	return nil
}

// know notes which process the successor is.
func (s *successor) know(m message) {
	if pid, err := strconv.Atoi(m.text); err == nil && pid > 0 {
		s.process, _ = os.FindProcess(pid)
	}
}

// failed says how the process has ended, and what it said.
func (s *successor) failed(how, why string) error {
	if how == "" {
		how = "a fault of its parent process"
	}
	if why != "" {
		return fmt.Errorf("handover: the successor%s has ended with %s: %s", s.pid(), how, why)
	}
	return fmt.Errorf("handover: the successor%s has ended with %s and has not said why", s.pid(), how)
}

// pid is for messages.
func (s *successor) pid() string {
	if s.process == nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", s.process.Pid)
}

// startPatience is how long a parent may take to start its child, of which it has to be known which one to kill.
const startPatience = time.Second

// kill ends a successor that was not agreed with, and returns when its process has ended.
func (s *successor) kill() {
	_, _ = s.channel.Write([]byte(message{word: refused}.String()))
	for patience := time.After(startPatience); s.process == nil; {
		select {
		case m, ok := <-s.said:
			if ok && m.word == started {
				s.know(m)
			}
			if ok {
				continue
			}
		case <-patience:
		}
		break
	}
	if s.process == nil {
		_ = s.parent.Kill() // if it has started one after all, that one reads that it is refused
	} else {
		_ = s.process.Kill()
	}
	_, _ = s.parent.Wait() // which ends when its child has
	s.talk.Go(func() {
		for range s.said {
		}
	})
	s.forget()
}

// leaveAlone ends the parent.
func (s *successor) leaveAlone() {
	_ = s.parent.Kill()
	_, _ = s.parent.Wait()
}

// agree lets the successor serve. ended is called when nobody holds its end of the channel any more, or one of those who do has said that
// its end was asked for.
func (s *successor) agree(ended func(s *successor, asked bool)) {
	_, _ = s.channel.Write([]byte(message{word: goAhead}.String()))
	s.talk.Go(func() {
		asked := false
		for m := range s.said {
			if m.word == stopping {
				asked = true
				ended(s, true)
			}
		}
		_, _ = s.channel.Close(), s.control.Close()
		_ = s.process.Release()
		if !asked {
			ended(s, false)
		}
	})
}

// forget closes this end of the channels, and returns when nobody reads them any more.
func (s *successor) forget() {
	_, _ = s.channel.Close(), s.control.Close()
	s.talk.Wait()
}
