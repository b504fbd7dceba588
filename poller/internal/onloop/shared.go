package onloop

import "sync"

// Shared is memory of what is sent to several connections, which those keep that have not sent it yet. It is charged once, however many they are. The
// zero value is ready to use. Any goroutine may call its methods.
type Shared struct {
	mu      sync.Mutex // guards what follows
	holders int
	size    int     // as is account, that of the first holder
	account Account // of the server that is charged
}

// Account is what a server has buffered, in bytes. Any goroutine may call its method.
type Account interface{ Charge(n int64) }

// Hold notes one more who keeps the memory, which is so large. The first one's account is charged.
func (s *Shared) Hold(size int, account Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders++; s.holders == 1 {
		s.size, s.account = size, account
		account.Charge(int64(size))
	}
}

// Release notes that one of them keeps it no more.
func (s *Shared) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders--; s.holders == 0 {
		s.account.Charge(int64(-s.size))
		s.account = nil
	}
}

// Part is how much of it falls to each holder.
func (s *Shared) Part() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size / max(s.holders, 1)
}
