//go:build linux

package poller

// SetKeepAlivesEnabled turns on and off that connections are used for more than one request, as they are by default. Without, every
// answer is its connection's last and says so, and idle connections are closed. Unlike in a drain the port is kept, so that
// clients come back on new connections: to a successor that serves the same port, for instance.
func (s *Server) SetKeepAlivesEnabled(enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noReuse.Store(!enabled)
	if r := s.run; r != nil && !enabled {
		for _, l := range r.loops {
			l.post(l.closeIdle)
		}
		go r.h2.goAway()
	}
}
