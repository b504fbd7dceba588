//go:build linux

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"rstserver/bench/internal/process"
	"rstserver/bench/kinds"
)

// Broadcast measures how servers send one message to many: to the WebSockets of a path (kinds.Paths.Room), where each message of one client goes to
// all who are there, or to the event streams of one (kinds.Paths.EventRoom), where each POST does. The servers take turns. The clients are this process, so there are at most as many as it may have descriptors.
type Broadcast struct {
	Servers  []Server
	Kind     kinds.Kind // WebSocket or SSE
	N        int        // connections
	Stalled  int        // connections beside these that do not read, whose buffers are full when the others come
	Bytes    int        // of the message, which is binary for WebSockets, and text for event streams
	Runs     int        // of each server, which is started anew for each
	Messages int        // in a run, behind one that does not count
	// Patience is how long a server may take to listen, and an answer to come. Zero means DefaultPatience.
	Patience time.Duration
	Stderr   io.Writer // gets what servers print there; nil: nobody does
}

// Broadcasts are what one server has done.
type Broadcasts struct {
	Server string          `json:"server"`
	Last   []time.Duration `json:"last_client_ns"`   // of each message: from its sending to the last client that had it
	Get    []time.Duration `json:"get_ns,omitempty"` // of each message: a GET that was sent behind it, of a server that has a path for that
	CPU    []time.Duration `json:"processor_ns"`     // of each run: processor time of the server's processes, by the message
	Memory []int64         `json:"memory_bytes"`     // of each run: growth of the server's anonymous memory by the connection, behind the first
}

// Median is the middle of what was measured, the upper one of two.
func Median[T time.Duration | int64 | float64](of []T) T {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// Measure carries it out. What was measured before an error is returned beside it.
func (b *Broadcast) Measure(ctx context.Context) ([]Broadcasts, error) {
	all := make([]Broadcasts, len(b.Servers))
	for i, s := range b.Servers {
		all[i].Server = s.Name
		if err := b.Lack(s); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", s.Name, err)
		}
	}
	if b.Stalled < 0 {
		return nil, fmt.Errorf("bench: a broadcast with %d connections that do not read: it must be 0 or more", b.Stalled)
	}
	if err := roomFor("a broadcast to", b.N, b.Stalled); err != nil {
		return nil, err
	}
	return all, inTurn(ctx, b.Servers, b.Runs, func(i int) error { return b.round(ctx, &b.Servers[i], &all[i]) })
}

// Lack is an error when s has no path for it.
func (b *Broadcast) Lack(s Server) error {
	switch {
	case b.Kind == kinds.WebSocket && s.Paths.Room == "":
		return errors.New("it has no path by which a message goes to all; a server is given one with room=PATH")
	case b.Kind == kinds.SSE && s.Paths.EventRoom == "":
		return errors.New("it has no event streams of which each gets what is posted; a server is given them with event-room=PATH")
	case b.Kind != kinds.WebSocket && b.Kind != kinds.SSE:
		return fmt.Errorf("there is no broadcast to %s connections, but to websocket and sse", b.Kind)
	}
	return nil
}

func (b *Broadcast) round(ctx context.Context, s *Server, into *Broadcasts) error {
	m := &members{patience: cmp.Or(b.Patience, DefaultPatience), path: s.Paths.Room, get: s.Paths.Get}
	if b.Kind == kinds.SSE {
		m.events, m.path = true, s.Paths.EventRoom
	}
	return m.of(ctx, s, b.Stderr, func(p *process.Family) error {
		if err := m.stall(ctx, b.Stalled); err != nil {
			return err
		}
		grown, err := m.openAll(ctx, p, b.N, nil)
		if err != nil {
			return err
		}
		m.bytes = b.Bytes
		if err := m.settle(ctx); err != nil {
			return err
		}
		memory, err := grown()
		if err != nil {
			return err
		}
		used, _, err := p.Usage()
		if err != nil {
			return err
		}
		for range b.Messages {
			took, err := m.tell(ctx, m.patience)
			if err != nil {
				return err
			}
			into.Last = append(into.Last, took.last)
			if m.get != "" {
				into.Get = append(into.Get, took.get)
			}
		}
		after, _, err := p.Usage()
		if err != nil {
			return err
		}
		into.CPU = append(into.CPU, after.Since(used).Total/time.Duration(max(b.Messages, 1)))
		into.Memory = append(into.Memory, memory)
		return nil
	})
}
