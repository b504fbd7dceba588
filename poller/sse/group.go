package sse

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"rstserver/poller"
	"rstserver/poller/internal/onloop"
)

// Group is a set of streams, of one server or several, that can keep the last events for those who come back. The zero value is empty, keeps
// nothing, and is ready to use; its fields must not be changed once it is used. Its methods may be called from any goroutine, but not Broadcast by
// OnClose with OnLoop, and not on an event loop, since it waits for loops. A stream leaves its groups when it ends.
type Group struct {
	// KeepEvents is how many events are kept, and KeepBytes how many bytes of them, as they are sent: the older ones are forgotten. Zero is no bound,
	// and zero for both is that none are kept.
	KeepEvents, KeepBytes int
	// TooOld is what one is sent first who comes with the ID of an event that is not kept, or never was: what has happened since is not known. It is not sent
	// if it is the zero value.
	TooOld Event

	members onloop.Group

	mu   sync.Mutex // guards what follows, and that a stream joins between two events; held for system calls
	kept []kept     // oldest first
	from int        // the number of events forgotten: kept[0] is the event of that number
	size int        // bytes of kept
	ids  map[string]int
	base string // of IDs
	next int
}

// kept is an event for those who come back.
type kept struct {
	id    string
	frame frame
}

func (g *Group) keeps() bool { return g.KeepEvents > 0 || g.KeepBytes > 0 }

// Join takes s in, and reports whether it has: not if it is in the group already, or is over. It gets what is broadcast from then on.
//
// lastEventID is what the request's Last-Event-ID field says, empty if there is none. If the group keeps events, s is first sent those that came after the one
// with that ID. If that is not kept, s is sent TooOld, and all that is kept. Nothing is sent twice, and nothing is left out between those
// and what is broadcast meanwhile. Options.MaxQueuedBytes does not bound this, since KeepEvents and KeepBytes do.
func (g *Group) Join(s *Stream, lastEventID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := (*member)(s)
	if g.members.Has(m) {
		return false
	}
	if lastEventID != "" && g.keeps() {
		first := g.from
		if n, ok := g.ids[lastEventID]; ok {
			first = n + 1
		} else if g.TooOld != (Event{}) && !s.again(encode(nil, &g.TooOld)) {
			return false
		}
		for _, k := range g.kept[first-g.from:] {
			if !s.again(k.frame) {
				return false
			}
		}
	}
	return g.members.Join(m)
}

// Accept is the function of that name and Join in one, with the request's Last-Event-ID. The stream is in the group before its client knows that it is
// open, so that a client gets all that is broadcast from its answer on. Its errors are those of the function.
func (g *Group) Accept(w http.ResponseWriter, r *http.Request, options *Options) (*Stream, error) {
	id := r.Header.Get("Last-Event-ID")
	return accept(w, r, options, func(s *Stream) { g.Join(s, id) })
}

// AcceptOnLoop is Accept for a [poller.LoopHandler], with the same errors.
func (g *Group) AcceptOnLoop(w *poller.Responder, r *poller.Request, options *Options) (*Stream, error) {
	id := string(r.Get("Last-Event-ID"))
	return acceptOnLoop(w, r, options, func(s *Stream) { g.Join(s, id) })
}

// again sends what others have got before.
func (s *Stream) again(f frame) bool {
	_, err := s.conn.Send(onloop.Output{Head: f.as(s.conn.Chunked()), Shared: f.shared, Message: true})
	return err == nil
}

// Leave takes s out, and reports whether it was in.
func (g *Group) Leave(s *Stream) bool { return g.members.Leave((*member)(s)) }

// Len is how many streams are in the group.
func (g *Group) Len() int { return g.members.Len() }

// Told says what became of an event for each stream of a group.
type Told struct {
	Sent    int // the kernel has taken it
	Behind  int // it waits to be sent, behind others or as the client takes nothing
	Dropped int // Options.MaxQueuedBytes waited already; see AtBound
	Ended   int // likewise, and the stream was ended
	Gone    int // the stream was over
}

// Broadcast sends an event to all that are in the group, and returns when each has it, or has it queued. It is encoded once, and is not copied for each
// client that takes it. Between some and the next some, loops turn to their other connections. All get events in one order. If the group
// keeps events, one without an ID is given one that no other of this group or process has.
//
// An event that a stream cannot express is an error that says why, and is not sent. When ctx ends, Broadcast returns its error and what is known by
// then; the event is sent all the same.
func (g *Group) Broadcast(ctx context.Context, e Event) (Told, error) {
	if err := e.check(); err != nil {
		return Told{}, err
	}
	if err := g.TooOld.check(); err != nil {
		return Told{}, err
	}
	told, err := g.begin(e).Wait(ctx)
	return Told(told), err
}

func (g *Group) begin(e Event) *onloop.Broadcast {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keeps() && e.ID == "" {
		if g.base == "" {
			g.base = strconv.FormatInt(time.Now().UnixMicro(), 36) + "-"
		}
		g.next++
		e.ID = g.base + strconv.Itoa(g.next)
	}
	m := &message{encode(nil, &e), g.keeps()}
	m.frame.shared = new(onloop.Shared)
	if m.keeps {
		g.keep(kept{e.ID, m.frame})
	}
	return g.members.Begin(m)
}

// keep keeps k, and forgets what is too much.
func (g *Group) keep(k kept) {
	if g.ids == nil {
		g.ids = make(map[string]int)
	}
	g.ids[k.id] = g.from + len(g.kept)
	g.kept = append(g.kept, k)
	g.size += len(k.frame.chunk)
	for len(g.kept) > 0 && (g.KeepEvents > 0 && len(g.kept) > g.KeepEvents || g.KeepBytes > 0 && g.size > g.KeepBytes) {
		oldest := g.kept[0]
		if g.ids[oldest.id] == g.from { // a later one can have it, too
			delete(g.ids, oldest.id)
		}
		g.size -= len(oldest.frame.chunk)
		g.kept[0] = kept{}
		g.kept = g.kept[1:]
		g.from++
	}
}

// message is an event to a group.
type message struct {
	frame frame
	keeps bool // those who come back get it again
}

// member is a Stream in its groups.
type member Stream

var _ onloop.Receiver = (*member)(nil)

// Conn implements onloop.Receiver.
func (m *member) Conn() onloop.Conn { return m.conn }

// Places implements onloop.Receiver.
func (m *member) Places() *onloop.Places { return &m.places }

// Deliver implements onloop.Receiver.
func (m *member) Deliver(what any) onloop.Outcome {
	s, event := (*Stream)(m), what.(*message)
	b := s.options.bounds()
	if b.AtBound == onloop.Wait && event.keeps {
		b.AtBound = onloop.End
	}
	return b.Deliver(s.conn, onloop.Output{Head: event.frame.as(s.conn.Chunked()), Shared: event.frame.shared, Message: true}, s.end)
}
