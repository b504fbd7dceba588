package websocket

import (
	"context"
	"errors"
	"slices"
	"sync"
	"unicode/utf8"

	"rstserver/poller/internal/onloop"
)

// Group is a set of connections, of one server or several. The zero value is empty and ready to use. Its methods may be called from any
// goroutine, Broadcast excepted: not by functions of Options with OnLoop, since it waits for loops. A connection leaves its groups when it
// ends.
type Group struct {
	mu    sync.Mutex // guards parts, and the members of each
	parts map[onloop.Loop]*part
}

// part is the connections of a group that one loop owns.
type part struct {
	group   *Group
	members []*Conn
	shared  bool // members is being sent to, and has to be copied before it is changed
}

// membership is a Conn's place in a group.
type membership struct {
	part  *part
	index int // in members; guarded by Group.mu
}

// Join takes c in, and reports whether it has: not if it is in the group already, or is over. It gets what is broadcast from then on.
func (g *Group) Join(c *Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left || slices.ContainsFunc(c.groups, func(m membership) bool { return m.part.group == g }) {
		return false
	}
	loop := c.conn.Loop()
	p := g.parts[loop]
	if p == nil {
		p = &part{group: g}
		if g.parts == nil {
			g.parts = make(map[onloop.Loop]*part)
		}
		g.parts[loop] = p
	}
	p.own()
	c.groups = append(c.groups, membership{p, len(p.members)})
	p.members = append(p.members, c)
	return true
}

// Leave takes c out, and reports whether it was in.
func (g *Group) Leave(c *Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leave(c)
}

func (g *Group) leave(c *Conn) bool {
	c.mu.Lock()
	i := slices.IndexFunc(c.groups, func(m membership) bool { return m.part.group == g })
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	m := c.groups[i]
	if c.groups = slices.Delete(c.groups, i, i+1); len(c.groups) == 0 {
		c.groups = nil
	}
	c.mu.Unlock()
	p := m.part
	p.own()
	end := len(p.members) - 1
	if moved := p.members[end]; moved != c {
		p.members[m.index] = moved
		moved.mu.Lock()
		k := slices.IndexFunc(moved.groups, func(m membership) bool { return m.part == p })
		moved.groups[k].index = m.index
		moved.mu.Unlock()
	}
	p.members[end] = nil
	p.members = p.members[:end]
	if end == 0 {
		delete(g.parts, c.conn.Loop())
	}
	return true
}

// own makes members the part's alone.
func (p *part) own() {
	if p.shared {
		p.members, p.shared = slices.Clone(p.members), false
	}
}

// leaveAll takes c out of all groups, for good.
func (c *Conn) leaveAll() {
	for {
		c.mu.Lock()
		c.left = true
		if len(c.groups) == 0 {
			c.mu.Unlock()
			return
		}
		g := c.groups[0].part.group
		c.mu.Unlock()
		g.Leave(c)
	}
}

// Len is how many connections are in the group.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, p := range g.parts {
		n += len(p.members)
	}
	return n
}

// Told says what became of a message for each connection of a group.
type Told struct {
	Sent    int // the kernel has taken it
	Behind  int // it waits to be sent, behind others or as the client takes nothing
	Dropped int // Options.MaxQueuedBytes waited already; see AtBound
	Ended   int // likewise, and the connection was ended with 1013
	Gone    int // the connection was over
}

// Broadcast sends a message to all that are in the group, and returns when each has it, or has it queued. The message is encoded once, and is
// not copied for each client that takes it. Between some and the next some, loops turn to their other connections. Broadcasts that
// are made one after the other arrive in this order; those made at a time in one of the orders, which is the same for connections of one
// loop.
//
// When ctx ends, Broadcast returns its error and what is known by then; the message is sent all the same.
func (g *Group) Broadcast(ctx context.Context, t Type, data []byte) (Told, error) {
	switch {
	case t != Text && t != Binary:
		return Told{}, errors.New("websocket: a message is Text or Binary")
	case t == Text && !utf8.Valid(data):
		return Told{}, errors.New("websocket: the text is not UTF-8")
	}
	b := &broadcast{t: t, data: data, done: make(chan struct{})}
	b.frame = append(appendHeader(make([]byte, 0, maxHeader+len(data)), byte(t), false, len(data)), data...)
	b.data = b.frame[len(b.frame)-len(data):]
	g.mu.Lock()
	var rounds []*round
	for loop, p := range g.parts {
		p.shared = true
		rounds = append(rounds, &round{broadcast: b, loop: loop, members: p.members})
	}
	b.left = len(rounds)
	for _, r := range rounds { // under the lock, so that all loops have broadcasts in one order
		r.loop.Rounds(r)
	}
	g.mu.Unlock()
	if len(rounds) == 0 {
		return Told{}, nil
	}
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

// broadcast is a message to a group.
type broadcast struct {
	t     Type
	data  []byte // immutable, as is frame
	frame []byte
	done  chan struct{} // closed when all loops are done

	compressed [maxWindow + 1]struct { // frames, by window; each made by the first who needs it
		once  sync.Once
		frame []byte
	}

	mu   sync.Mutex // guards what follows
	left int        // loops
	told Told
}

// perStep is how many connections are sent to before the loop turns to others.
const perStep = 64

// round is a loop's part of a broadcast. It implements onloop.Work. Owned by the loop.
type round struct {
	*broadcast
	loop    onloop.Loop
	members []*Conn // not to be changed
	counted Told
}

// Step implements onloop.Work.
func (r *round) Step() (more bool) {
	n := min(len(r.members), perStep)
	for _, c := range r.members[:n] {
		r.send(c)
	}
	if r.members = r.members[n:]; len(r.members) > 0 {
		return true
	}
	r.finish()
	return false
}

// Dropped implements onloop.Work.
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

func (r *round) send(c *Conn) {
	waits, err := c.conn.Send(onloop.Output{Head: r.frameFor(c), Shared: true, Message: true, Bound: c.options.maxQueued()})
	switch {
	case err == onloop.ErrFull && c.options.AtBound == End:
		c.endFull()
		r.counted.Ended++
	case err == onloop.ErrFull:
		if c.options.Counters != nil {
			c.options.Counters.Dropped.Add(1)
		}
		r.counted.Dropped++
	case err != nil:
		r.counted.Gone++
	case waits:
		r.counted.Behind++
	default:
		r.counted.Sent++
	}
}

// frameFor is the frame as c is to get it. Where messages refer to those before, it is not compressed.
func (b *broadcast) frameFor(c *Conn) []byte {
	d := c.deflate
	if d == nil || d.out != nil || len(b.data) < compressFrom {
		return b.frame
	}
	z := &b.compressed[d.window]
	z.once.Do(func() {
		with, payload := d.alone(b.data)
		z.frame = append(appendHeader(make([]byte, 0, maxHeader+len(payload)), byte(b.t), true, len(payload)), payload...)
		compressors[d.window].Put(with)
	})
	return z.frame
}
