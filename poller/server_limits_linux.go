//go:build linux

package poller

import "fmt"

// SetMaxConns changes MaxConns while the server serves; 0 means as many as there are descriptors. Connections beyond a lower bound live on, and
// nobody else is accepted until enough of them have ended. An error is a *FileLimitError, or says that n is negative or that the Server
// does not serve; then nothing has changed. Any goroutine may call it.
func (s *Server) SetMaxConns(n int) error {
	if n < 0 || n > maxOption {
		return fmt.Errorf("poller: a bound of %d connections; it must be 0 (what the limit of open files allows) to %d", n, maxOption)
	}
	if err := checkFileLimit(n); err != nil {
		return err
	}
	r, err := s.running()
	if err != nil {
		return err
	}
	r.admission.setMost(n)
	return nil
}

// SetMaxBufferedBytes changes MaxBufferedBytes while the server serves; negative means no bound, and zero the default. What exceeds a lower bound
// is made room for at once, by resetting connections. Any goroutine may call it. An error says that n is positive and less than
// LeastMaxBufferedBytes, or that the Server does not serve; then nothing has changed.
func (s *Server) SetMaxBufferedBytes(n int64) error {
	if err := checkMaxBuffered(n); err != nil {
		return err
	}
	r, err := s.running()
	if err != nil {
		return err
	}
	if n == 0 {
		n = defaultMaxBufferedBytes()
	}
	r.memory.setBound(n)
	return nil
}

// running is what the Server has while it serves.
func (s *Server) running() (*run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil || s.state.Load() == stateClosed {
		return nil, fmt.Errorf("poller: the server does not serve")
	}
	return s.run, nil
}

// setMost changes MaxConns, and lets others in, or nobody.
func (a *admission) setMost(n int) {
	a.maxConns.Store(int64(n))
	a.mu.Lock()
	if a.full(a.held.Load()) {
		a.pauseLocked()
	}
	a.mu.Unlock()
	a.review()
}
