package certs

import (
	"context"
	"time"
)

// Interval is the time between two looks of [Store.Watch] at the files.
const Interval = 2 * time.Second

// settle is how long files that were changed have to be left alone before they are read: a writer may be between two of its
// writes. A guess; who needs longer is caught by what parse looks at, or read again when done.
const settle = 250 * time.Millisecond

// Watch looks at the files every [Interval], and has the next full handshake get what they hold, once that has not changed for a
// moment. It returns when ctx has ended, and is to have a goroutine of its own; a file system that does not answer holds it up.
//
// Of a pair that is broken, or whose files do not belong together, the certificate in use stays, and the pair is looked at again. What
// is wrong is logged as an error, once, and only if it still is at the next look: files that are replaced one after the other do not belong
// together for a moment. Each renewal is logged with the certificate's names and its end. So is, as a warning, a certificate that is not
// valid at the time, or that ends before a new one is there.
func (s *Store) Watch(ctx context.Context) {
	for ctx.Err() == nil {
		pause := Interval
		if s.look() {
			pause = settle
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// look looks at all files once, and reports whether some are being changed.
func (s *Store) look() (changing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pairs {
		changing = s.lookAt(p) || changing
		s.checkDates(p)
	}
	return changing
}

// lookAt looks at the files of a pair, and reports whether they have changed since the last look. s.mu is held.
func (s *Store) lookAt(p *watched) (changed bool) {
	now := p.files()
	changed = !now.same(p.seen)
	p.seen = now
	switch {
	case now.same(p.version):
		s.well(p)
		return false
	case changed:
		return true
	}
	err := s.take(p)
	if err == nil {
		return false
	}
	if fault := err.Error(); fault != p.fault {
		p.fault = fault
	} else if fault != p.told {
		p.told = fault
		s.logger().Error("certificate not renewed, the one in use stays", "file", p.Cert, "error", err)
	}
	return false
}
