//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// successor is a process that this one has started to take over. The goroutine of HandOver owns it until it has agreed, and from then on one
// that hears what it says, to the end of the channel. Another waits for its process.
type successor struct {
	process *os.Process
	channel *net.UnixConn
	said    chan message  // closed at the end of the channel; somebody reads it until then
	exited  chan struct{} // closed when the process has ended, and how is set
	how     *os.ProcessState
	talk    sync.WaitGroup // of those that read the channel, and said
}

// start starts a successor with all that it inherits.
func (h *Handover) start() (*successor, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", os.NewSyscallError("socketpair", err))
	}
	defer unix.Close(pair[1])
	channel, err := openChannel(pair[0])
	if err != nil {
		return nil, err
	}
	s := &successor{channel: channel, said: make(chan message), exited: make(chan struct{})}
	if s.process, err = h.fork(pair[1]); err != nil {
		_ = channel.Close()
		return nil, err
	}
	s.talk.Go(func() {
		defer close(s.said)
		readMessages(channel, func(m message) { s.said <- m })
	})
	go func() {
		defer close(s.exited)
		s.how, _ = s.process.Wait()
	}()
	return s, nil
}

// fork starts the process, whose end of the channel is the descriptor.
func (h *Handover) fork(channel int) (*os.Process, error) {
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
	var why string
	exited, said := s.exited, s.said
	for {
		select {
		case m, ok := <-said:
			switch {
			case !ok:
				said = nil // it has closed its end, or ended
			case m.word == ready:
				return nil
			case m.word == reason:
				why = m.text
			}
			if exited == nil && !ok {
				return s.failed(why)
			}
		case <-exited:
			// What it had said before is in the channel still. Its children may have the channel, too.
			exited = nil
			_ = s.channel.SetReadDeadline(time.Now().Add(time.Second))
			if said == nil {
				return s.failed(why)
			}
		case <-ctx.Done():
			err := context.Cause(ctx)
			if errors.Is(err, errSilent) {
				err = fmt.Errorf("handover: the successor (pid %d) has said nothing for %s; it was killed", s.process.Pid, timeout)
				if why != "" {
					err = fmt.Errorf("handover: the successor (pid %d) was not ready after %s; it was killed; it has said: %s", s.process.Pid, timeout, why)
				}
			}
			return err
		}
	}
}

// failed says how the process has ended, and what it said.
func (s *successor) failed(why string) error {
	how := "has ended"
	if s.how != nil {
		how = "has ended with " + s.how.String()
	}
	if why != "" {
		return fmt.Errorf("handover: the successor (pid %d) %s: %s", s.process.Pid, how, why)
	}
	return fmt.Errorf("handover: the successor (pid %d) %s and has not said why", s.process.Pid, how)
}

// kill ends a successor that was not agreed with, and returns when its process has ended.
func (s *successor) kill() {
	_ = s.process.Kill()
	<-s.exited
	s.talk.Go(func() {
		for range s.said {
		}
	})
	s.forget()
}

// agree has the successor serve. ended is called when nobody holds its end of the channel any more, or one of those who do has said that
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
		_ = s.channel.Close()
		if !asked {
			ended(s, false)
		}
	})
}

// forget closes this end of the channel, and returns when nobody reads it any more.
func (s *successor) forget() {
	_ = s.channel.Close()
	s.talk.Wait()
}
