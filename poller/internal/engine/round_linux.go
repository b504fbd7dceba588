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
	// mostStretch bounds what is added to it while the others do not take theirs, since they are stuck, say.
	mostStretch = 1 << 10
)

// part is what a loop may take, and average how many connections the loops have.
func (p *Port) part() (part, average int64) {
	average = p.live.Load() / max(p.polls.Load(), 1)
	return leastPart + average/growPart + p.stretch.Load(), average
}

// accepted counts a connection of l's, and has l leave the socket to the others when it has had its part, or is ahead of them.
// On the loop.
func (p *Port) accepted(l *Loop) {
	p.accepts.Add(1)
	p.live.Add(1)
	live := l.live.Add(1)
	l.taken++
	p.keepNonblocking(l)
	if part, average := p.part(); l.taken < part && live-average <= part {
		return
	}
	l.taken = 0
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.loops) > 1 && l.polling && l.leave() == nil {
		p.nextRound()
	}
}

// closed counts one off. On the loop.
func (p *Port) closed(l *Loop) {
	p.live.Add(-1)
	l.live.Add(-1)
}

// nextRound begins the next round if every loop has left this one; p.mu is held.
func (p *Port) nextRound() {
	for _, l := range p.loops {
		if l.polling {
			return
		}
	}
	p.stretch.Store(0)
	_ = p.rejoin() // a loop that cannot is roused
}

// rejoin begins a round anew, with the loops that are not ahead of the others; one never is. p.mu is held.
func (p *Port) rejoin() error {
	var errs []error
	part, average := p.part()
	for _, l := range p.loops {
		errs = append(errs, l.leave())
		if !p.paused && l.live.Load()-average <= part {
			errs = append(errs, l.join())
		}
	}
	return errors.Join(errs...)
}

// Rouse has n more loops look for a client who waits, whatever part of the round they have had, and frees those that are blocked
// in accept, which takes some milliseconds if there may be such.
func (p *Port) Rouse(n int) error {
	p.unblock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stretch.Store(min(max(1, 2*p.stretch.Load()), mostStretch))
	if p.paused {
		return nil
	}
	var errs []error
	for range min(n, len(p.loops)) {
		p.roused++
		l := p.loops[p.roused%len(p.loops)]
		errs = append(errs, l.leave(), l.join()) // what has come already is an event again
	}
	return errors.Join(errs...)
}

// join has the loop poll the socket; port.mu is held, here and below.
func (l *Loop) join() error {
	if l.polling {
		return nil
	}
	err := control(l.epoll, unix.EPOLL_CTL_ADD, l.number, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
	l.polling = err == nil
	return err
}

// leave has it poll the socket no more. An exclusive entry cannot be modified, so it is deleted.
func (l *Loop) leave() error {
	if !l.polling {
		return nil
	}
	l.polling = false
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.number, nil))
}
