package websocket

import (
	"context"
	"errors"
	"sync"
	"unicode/utf8"

	"rstserver/poller/internal/onloop"
)

// Group is a set of connections, of one server or several. The zero value is empty and ready to use. Its methods may be called from any
// goroutine, Broadcast excepted: not by functions of Options with OnLoop, since it waits for loops. A connection leaves its groups when it
// ends.
type Group struct{ members onloop.Group }

// Join takes c in, and reports whether it has: not if it is in the group already, or is over. It gets what is broadcast from then on.
func (g *Group) Join(c *Conn) bool { return g.members.Join((*member)(c)) }

// Leave takes c out, and reports whether it was in.
func (g *Group) Leave(c *Conn) bool { return g.members.Leave((*member)(c)) }

// Len is how many connections are in the group.
func (g *Group) Len() int { return g.members.Len() }

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
	b := &broadcast{t: t}
	b.plain.bytes = append(appendHeader(make([]byte, 0, maxHeader+len(data)), byte(t), false, len(data)), data...)
	b.data = b.plain.bytes[len(b.plain.bytes)-len(data):]
	told, err := g.members.Begin(b).Wait(ctx)
	return Told(told), err
}

// broadcast is a message to a group.
type broadcast struct {
	t     Type
	data  []byte // immutable
	plain sharedFrame

	compressed [maxWindow + 1]struct { // by window; each made by the first who needs it
		once sync.Once
		sharedFrame
	}
}

// sharedFrame is a frame for several connections.
type sharedFrame struct {
	bytes  []byte // immutable
	shared onloop.Shared
}

// member is a Conn in its groups.
type member Conn

var _ onloop.Receiver = (*member)(nil)

// Conn implements onloop.Receiver.
func (m *member) Conn() onloop.Conn { return m.conn }

// Places implements onloop.Receiver.
func (m *member) Places() *onloop.Places { return &m.places }

// Deliver implements onloop.Receiver.
func (m *member) Deliver(message any) onloop.Outcome {
	c := (*Conn)(m)
	f := message.(*broadcast).frameFor(c)
	return c.options.bounds().Deliver(c.conn, onloop.Output{Head: f.bytes, Shared: &f.shared, Message: true}, c.endFull)
}

// frameFor is the frame as c is to get it. Where messages refer to those before, it is not compressed.
func (b *broadcast) frameFor(c *Conn) *sharedFrame {
	d := c.deflate
	if d == nil || d.out != nil || len(b.data) < compressFrom {
		return &b.plain
	}
	z := &b.compressed[d.window]
	z.once.Do(func() {
		with, payload := d.alone(b.data)
		z.bytes = append(appendHeader(make([]byte, 0, maxHeader+len(payload)), byte(b.t), true, len(payload)), payload...)
		compressors[d.window].Put(with)
	})
	return &z.sharedFrame
}
