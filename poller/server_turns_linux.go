//go:build linux

package poller

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rstserver/internal/pace"
)

// connTurns are the turns, in a drain, of connections whose handler has asked for it (see [rstserver/linger.Turn]): it has hijacked the connection, or
// answers for as long as that lives. Nothing of it leads to a connection. Any goroutine may call its methods.
type connTurns struct {
	asked atomic.Bool // somebody has

	mu  sync.Mutex // guards what follows
	on  bool       // from here on it is everybody's turn who asks
	all map[uint64]connTurn
}

type connTurn struct {
	context.Context
	come context.CancelFunc
}

// of is the turn of the connection with that number.
func (t *connTurns) of(id uint64) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn, ok := t.all[id]
	if ok {
		return turn
	}
	turn.Context, turn.come = context.WithCancel(context.Background())
	if t.on {
		turn.come()
		return turn
	}
	if t.all == nil {
		t.all = make(map[uint64]connTurn)
	}
	t.all[id] = turn
	t.asked.Store(true)
	return turn
}

// come gives one connection its turn, for who asks later, too, and reports whether somebody has asked for it.
func (t *connTurns) come(id uint64) bool {
	t.mu.Lock()
	_, asked := t.all[id]
	t.mu.Unlock()
	t.of(id)
	t.mu.Lock()
	turn, ok := t.all[id]
	t.mu.Unlock()
	if ok { // or a drain has come meanwhile
		turn.come()
	}
	return asked
}

// forget drops the turn of a connection that is over. Who comes to know a turn looks afterwards whether the connection is over, since this may
// have been before.
func (t *connTurns) forget(id uint64) {
	if t.asked.Load() {
		t.mu.Lock()
		delete(t.all, id)
		t.mu.Unlock()
	}
}

// tell gives all their turns, one after the other within the window. It returns when they have, or stop is closed.
func (t *connTurns) tell(window time.Duration, stop <-chan struct{}) {
	t.mu.Lock()
	t.on = true
	ids := slices.Collect(maps.Keys(t.all))
	t.mu.Unlock()
	rand.Shuffle(len(ids), func(i, k int) { ids[i], ids[k] = ids[k], ids[i] })
	pace.New(len(ids), window).Run(stop, func() {
		t.mu.Lock()
		turn, ok := t.all[ids[0]]
		delete(t.all, ids[0])
		t.mu.Unlock()
		ids = ids[1:]
		if ok {
			turn.come()
		}
	})
}

// turnOf is the turn of the connection of an exchange.
type turnOf exchange

func (x *turnOf) Turn() context.Context {
	turn := x.run.turns.of(x.peer.ID)
	if (*exchange)(x).now() == hijacked {
		x.run.forgetTaken(x.peer.ID)
	} else if x.conn.closed.Load() {
		x.run.turns.forget(x.peer.ID)
	}
	return turn
}

// forgetTaken drops the turn of a connection that a loop has given up, if it is over.
func (r *run) forgetTaken(id uint64) {
	if r.taken.of(id) == nil {
		r.turns.forget(id)
	}
}
