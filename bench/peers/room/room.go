// Package room has what goes to all who are there, with a channel for each, as the chats among the examples of libraries have it.
package room

import "sync"

// Room sends what it is told to all who are in it. The zero value is empty. Any goroutine may call its methods.
type Room[T any] struct {
	mu      sync.Mutex // guards members
	members map[chan T]struct{}
}

// queued is how many wait for a member. Who is slower misses some.
const queued = 16

// Join returns what Serve takes. What the room is told from now on waits there.
func (r *Room[T]) Join() chan T {
	own := make(chan T, queued)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members == nil {
		r.members = make(map[chan T]struct{})
	}
	r.members[own] = struct{}{}
	return own
}

// Serve has send be called with what the room is told since Join, until that fails, or gone is closed. A nil gone never is.
func (r *Room[T]) Serve(own chan T, gone <-chan struct{}, send func(T) error) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.members, own)
	}()
	for {
		select {
		case what := <-own:
			if send(what) != nil {
				return
			}
		case <-gone:
			return
		}
	}
}

// Tell sends what to all who are in the room.
func (r *Room[T]) Tell(what T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for member := range r.members {
		select {
		case member <- what:
		default:
		}
	}
}
