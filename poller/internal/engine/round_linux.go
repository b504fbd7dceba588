//go:build linux

package engine

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A loop's part of a round is leastPart connections, and one more for each growPart that the loops have on average. It may be
// ahead of the average by as many.
const (
	leastPart = 2
	growPart  = 8
)

// part is what a loop may take of the round.
func (p *Port) part() int64 { return leastPart + p.average.Load()/growPart }

// accepted counts a connection of l's, and has l leave the socket to the others when it has had its part, or is ahead of them.
// On the loop.
func (p *Port) accepted(l *Loop) {
	p.accepts.Add(1)
	live := l.live.Add(1)
	l.taken.Add(1)
	part := p.part()
	if !l.absent.Load() && l.taken.Load() < part && live-p.average.Load() <= part {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l.absent.Store(false)
	if len(p.loops) > 1 && l.polling && l.leave() == nil {
		p.nextRound()
	}
}

// nextRound begins the next round if every loop has had its part of this one, but for those that are absent; p.mu is held.
func (p *Port) nextRound() {
	for _, l := range p.loops {
		if l.polling && !l.absent.Load() {
			return
		}
	}
	_ = p.rejoin() // a loop that cannot is roused
}

// rejoin begins a round anew, with the loops that are not ahead of the others; one never is. p.mu is held.
func (p *Port) rejoin() error {
	var live, present int64
	for _, l := range p.loops {
		if !l.absent.Load() {
			live += l.live.Load()
			present++
		}
	}
	p.average.Store(live / max(present, 1))
	part := p.part()
	var errs []error
	for _, l := range p.loops {
		l.taken.Store(0)
		l.seen = -1
		errs = append(errs, l.leave())
		if !p.paused && (l.absent.Load() || l.live.Load()-p.average.Load() <= part) {
			errs = append(errs, l.join())
		}
	}
	return errors.Join(errs...)
}

// Rouse is called when a client waits and nobody accepts. Loops that have taken nothing since the last call in this round are
// absent from now on, until they accept again: they are stuck, or the kernel has not chosen them, and the round does not wait
// for them. It lets the others go on, and n of all look for the client.
func (p *Port) Rouse(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused {
		return nil
	}
	for _, l := range p.loops {
		taken := l.taken.Load()
		if l.polling && taken == l.seen {
			l.absent.Store(true)
		}
		l.seen = taken
	}
	p.nextRound()
	var errs []error
	for range min(n, len(p.loops)) {
		p.roused++
		l := p.loops[p.roused%len(p.loops)]
		errs = append(errs, l.leave(), l.join()) // what has come already is an event again
	}
	return errors.Join(errs...)
}

// join makes the loop poll the socket; port.mu is held, here and below.
func (l *Loop) join() error {
	if l.polling {
		return nil
	}
	err := control(l.epoll, unix.EPOLL_CTL_ADD, l.number, portNumber, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
	l.polling = err == nil
	return err
}

// leave ends that it polls the socket. An exclusive entry cannot be modified, so it is deleted.
func (l *Loop) leave() error {
	if !l.polling {
		return nil
	}
	l.polling = false
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.number, nil))
}
