package websocket

import "sync"

// inbox is what a worker is to do, in that order.
type inbox struct {
	items []item
	mem   []byte // of small messages
	bytes int
}

// item is a call of one of the functions of Options.
type item struct {
	data   []byte
	reason string
	code   Status
	what   called
	t      Type
	last   bool
}

type called uint8

const (
	callOpen called = iota
	callMessage
	callClose
)

const (
	// maxInbox is how much is handed to a worker at a time.
	maxInbox = 64 << 10
	// keptInbox bounds the memory that an inbox has when it is kept for another connection.
	keptInbox = 64 << 10
	// leastCharged is how much a worker has to have for the connection to be charged with it. Of less the loop need not learn that it is done with.
	leastCharged = 4 << 10
	// pauseAt is how much may wait to be sent of what follows on the loop from what was read, before less is read.
	pauseAt = 256 << 10
)

var inboxes = sync.Pool{New: func() any { return new(inbox) }}

// isFull reports whether what has come has to wait.
func (c *Conn) isFull() bool {
	if c.options.OnLoop {
		return c.conn.Queued() >= pauseAt
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	full := c.inbox != nil && c.inbox.bytes >= maxInbox
	c.held = c.held || full
	return full
}

// deliver sees to it that OnMessage or OnFragment is called. owned says that data is nobody else's.
func (c *Conn) deliver(t Type, data []byte, last, owned bool) {
	o := c.options
	switch {
	case o.OnMessage == nil && o.OnFragment == nil:
	case o.OnLoop:
		c.conn.Call(func() { c.call(&item{what: callMessage, t: t, data: data, last: last}) })
	default:
		c.push(item{what: callMessage, t: t, data: data, last: last}, owned)
	}
}

// push gives a worker one thing more to do. Nothing is read meanwhile.
func (c *Conn) push(i item, owned bool) {
	c.mu.Lock()
	in := c.inbox
	if in == nil {
		in = inboxes.Get().(*inbox)
		c.inbox = in
	}
	in.bytes += len(i.data)
	c.atWork += len(i.data)
	c.held = c.held || c.atWork >= leastCharged
	if !owned && len(i.data) > 0 {
		start := len(in.mem)
		in.mem = append(in.mem, i.data...) // where it moves, those before keep what they have
		i.data = in.mem[start:len(in.mem):len(in.mem)]
	}
	in.items = append(in.items, i)
	begins := !c.delivering
	c.delivering = true
	if begins {
		c.conn.Want(false) // in the order in which it is decided
	}
	c.mu.Unlock()
	if begins {
		c.conn.Go(c.work)
	}
}

// work does what there is, on a worker.
func (c *Conn) work() {
	done := false
	defer func() {
		if !done { // a function has panicked, and the connection is reset; OnClose is called all the same
			c.conn.Abort()
			c.conn.Go(c.work)
		}
	}()
	for {
		c.mu.Lock()
		in := c.inbox
		c.inbox = nil
		if in == nil {
			c.delivering, c.atWork = false, 0
			held := c.held
			c.held = false
			if !held {
				c.conn.Want(true)
			}
			c.mu.Unlock()
			done = true
			if held {
				c.conn.Wake()
			}
			return
		}
		c.atWork = in.bytes
		c.mu.Unlock()
		c.do(in)
	}
}

// do does what is in an inbox.
func (c *Conn) do(in *inbox) {
	items, next := in.items, 0
	defer func() {
		if next < len(items) {
			c.putBack(items[next:])
		}
	}()
	for next < len(items) {
		next++
		c.call(&items[next-1])
	}
	if cap(in.mem) <= keptInbox {
		clear(items)
		*in = inbox{items: items[:0], mem: in.mem[:0]}
		inboxes.Put(in)
	}
}

// putBack leaves of what a panic has interrupted the end.
func (c *Conn) putBack(items []item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range items {
		if i.what == callClose {
			if c.inbox == nil {
				c.inbox = new(inbox)
			}
			c.inbox.items = append(c.inbox.items, i)
		}
	}
}

// call is the call itself.
func (c *Conn) call(i *item) {
	o := c.options
	switch i.what {
	case callOpen:
		o.OnOpen(c)
	case callClose:
		o.OnClose(c, i.code, i.reason)
	default:
		if o.OnFragment != nil {
			o.OnFragment(c, i.t, i.data, i.last)
		} else {
			o.OnMessage(c, i.t, i.data)
		}
	}
}

// busy reports whether a worker has something to do before the loop can go on; then the loop is woken after that. On the loop.
func (c *Conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = c.held || c.delivering
	return c.delivering
}

// charged is what a worker has of messages, if it is worth the account.
func (c *Conn) charged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.atWork < leastCharged {
		return 0
	}
	return c.atWork
}

// isDelivering reports whether a worker has something to do, for which reading pauses.
func (c *Conn) isDelivering() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.delivering
}
