package onloop

import (
	"context"
	"slices"
	"sync"
)

// Receiver is one who can be in groups: a protocol's connection.
type Receiver interface {
	Conn() Conn
	// Places are where it is noted in which groups it is.
	Places() *Places
	// Deliver sends a message of a group's, and says what became of it. It is called on the loop.
	Deliver(message any) Outcome
}

// Outcome is what became of a message for one Receiver.
type Outcome uint8

// The outcomes, as Told counts them.
const (
	Sent Outcome = iota
	Behind
	Dropped
	Ended
	Gone
)

// Told says what became of a message for those in a group.
type Told struct {
	Sent    int // the kernel has taken it
	Behind  int // it waits to be sent
	Dropped int // it was left out, at the bound
	Ended   int // likewise, and the connection was ended
	Gone    int // the connection was over
}

func (t *Told) count(o Outcome) {
	switch o {
	case Sent:
		t.Sent++
	case Behind:
		t.Behind++
	case Dropped:
		t.Dropped++
	case Ended:
		t.Ended++
	default:
		t.Gone++
	}
}

// Group is a set of Receivers. The zero value is empty. Any goroutine may call its methods.
type Group struct {
	mu    sync.Mutex // guards parts, and the members of each
	parts map[Loop]*part
}

// part is the members of a group that one loop owns.
type part struct {
	group   *Group
	members []Receiver
	shared  bool // members is being sent to, and has to be copied before it is changed
}

// Places are the groups that a Receiver is in.
type Places struct {
	mu   sync.Mutex // guards what follows; locked behind those of groups
	left bool       // all, for good
	all  []place
}

type place struct {
	part  *part
	index int // in members; guarded by Group.mu
}

func (p *Places) in(g *Group) int {
	return slices.IndexFunc(p.all, func(at place) bool { return at.part.group == g })
}

// Leave takes r out of all its groups, for good.
func Leave(r Receiver) {
	for p := r.Places(); ; {
		p.mu.Lock()
		p.left = true
		if len(p.all) == 0 {
			p.mu.Unlock()
			return
		}
		g := p.all[0].part.group
		p.mu.Unlock()
		g.Leave(r)
	}
}

// Join takes r in, and reports whether it has: not if it is in already, or has left for good. It gets what is sent from then on.
func (g *Group) Join(r Receiver) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	places := r.Places()
	places.mu.Lock()
	defer places.mu.Unlock()
	if places.left || places.in(g) >= 0 {
		return false
	}
	loop := r.Conn().Loop()
	p := g.parts[loop]
	if p == nil {
		p = &part{group: g}
		if g.parts == nil {
			g.parts = make(map[Loop]*part)
		}
		g.parts[loop] = p
	}
	p.own()
	places.all = append(places.all, place{p, len(p.members)})
	p.members = append(p.members, r)
	return true
}

// Has reports whether r is in the group.
func (g *Group) Has(r Receiver) bool {
	places := r.Places()
	places.mu.Lock()
	defer places.mu.Unlock()
	return places.in(g) >= 0
}

// Leave takes r out, and reports whether it was in.
func (g *Group) Leave(r Receiver) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	places := r.Places()
	places.mu.Lock()
	i := places.in(g)
	if i < 0 {
		places.mu.Unlock()
		return false
	}
	at := places.all[i]
	if places.all = slices.Delete(places.all, i, i+1); len(places.all) == 0 {
		places.all = nil
	}
	places.mu.Unlock()
	p := at.part
	p.own()
	end := len(p.members) - 1
	if moved := p.members[end]; moved != r {
		p.members[at.index] = moved
		places := moved.Places()
		places.mu.Lock()
		places.all[places.in(g)].index = at.index
		places.mu.Unlock()
	}
	p.members[end] = nil
	p.members = p.members[:end]
	if end == 0 {
		delete(g.parts, r.Conn().Loop())
	}
	return true
}

// own makes members the part's alone.
func (p *part) own() {
	if p.shared {
		p.members, p.shared = slices.Clone(p.members), false
	}
}

// Len is how many are in the group.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, p := range g.parts {
		n += len(p.members)
	}
	return n
}

// Begin delivers message to all who are in the group, in rounds of their loops. Messages arrive in the order in which they were begun.
func (g *Group) Begin(message any) *Broadcast {
	b := &Broadcast{message: message, done: make(chan struct{})}
	g.mu.Lock()
	var rounds []*round
	for loop, p := range g.parts {
		p.shared = true
		rounds = append(rounds, &round{Broadcast: b, loop: loop, members: p.members})
	}
	if b.left = len(rounds); b.left == 0 {
		close(b.done)
	}
	for _, r := range rounds { // under the lock, so that all loops have messages in one order
		r.loop.Rounds(r)
	}
	g.mu.Unlock()
	return b
}

// Broadcast is a message that is being delivered.
type Broadcast struct {
	message any           // immutable
	done    chan struct{} // closed when all loops are done

	mu   sync.Mutex // guards what follows
	left int        // loops
	told Told
}

// Wait returns when all have the message, or have it queued, or else, with ctx's error, when that ends.
func (b *Broadcast) Wait(ctx context.Context) (Told, error) {
	var err error
	select {
	case <-b.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told, err
}

// perStep is to how many a message is delivered before the loop turns to others.
const perStep = 64

// round is a loop's part of a Broadcast. It implements Work. Owned by the loop.
type round struct {
	*Broadcast
	loop    Loop
	members []Receiver // not to be changed
	counted Told
}

// Step implements Work.
func (r *round) Step() (more bool) {
	n := min(len(r.members), perStep)
	for _, m := range r.members[:n] {
		r.counted.count(m.Deliver(r.message))
	}
	if r.members = r.members[n:]; len(r.members) > 0 {
		return true
	}
	r.finish()
	return false
}

// Dropped implements Work.
func (r *round) Dropped() {
	r.counted.Gone += len(r.members)
	r.members = nil
	r.finish()
}

func (r *round) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told.Sent += r.counted.Sent
	r.told.Behind += r.counted.Behind
	r.told.Dropped += r.counted.Dropped
	r.told.Ended += r.counted.Ended
	r.told.Gone += r.counted.Gone
	if r.left--; r.left == 0 {
		close(r.done)
	}
}
