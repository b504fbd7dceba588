//go:build linux

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"rstserver/bench/internal/process"
	"rstserver/internal/wsframe"
)

// Echo measures how fast servers send back messages of WebSockets (kinds.Paths.WebSocket), of which each sends the next when it has the one before,
// and what a connection takes in memory that has had one. The servers take turns. The clients are this process, as those of Broadcast are.
type Echo struct {
	Servers []Server
	N       int // connections
	Bytes   int // of a message, which is binary
	Runs    int // of each server, which is started anew for each
	For     time.Duration
	// Patience is how long a server may take to listen, and an answer to come. Zero means DefaultPatience.
	Patience time.Duration
	Stderr   io.Writer // gets what servers print there; nil: nobody does
}

// Echoes are what one server has done.
type Echoes struct {
	Server string          `json:"server"`
	Rate   []float64       `json:"messages_per_second"` // of each run
	CPU    []time.Duration `json:"processor_ns"`        // of each run: processor time of the server's processes, by the message
	Memory []int64         `json:"memory_bytes"`        // of each run: growth of the server's anonymous memory by the connection after one echo, behind the first
}

// Measure carries it out. What was measured before an error is returned beside it.
func (e *Echo) Measure(ctx context.Context) ([]Echoes, error) {
	all := make([]Echoes, len(e.Servers))
	for i, s := range e.Servers {
		all[i].Server = s.Name
		if err := e.Lack(s); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", s.Name, err)
		}
	}
	if err := roomFor("messages of", e.N, 0); err != nil {
		return nil, err
	}
	return all, inTurn(ctx, e.Servers, e.Runs, func(i int) error { return e.round(ctx, &e.Servers[i], &all[i]) })
}

// Lack is an error when s has no path for it.
func (e *Echo) Lack(s Server) error {
	if s.Paths.WebSocket == "" {
		return errors.New("it has no WebSocket that sends back what it is sent; a server is given one with websocket=PATH")
	}
	return nil
}

func (e *Echo) round(ctx context.Context, s *Server, into *Echoes) error {
	m := &members{patience: cmp.Or(e.Patience, DefaultPatience), path: s.Paths.WebSocket, bytes: e.Bytes}
	return m.of(ctx, s, e.Stderr, func(p *process.Family) error {
		grown, err := m.openAll(ctx, p, e.N, m.echo)
		if err != nil {
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
		count, took, err := m.exchange(ctx, e.For)
		if err != nil {
			return err
		}
		after, _, err := p.Usage()
		if err != nil {
			return err
		}
		into.Rate = append(into.Rate, float64(count)/took.Seconds())
		into.CPU = append(into.CPU, after.Since(used).Total/time.Duration(count))
		into.Memory = append(into.Memory, memory)
		return nil
	})
}

// echo has one message come back to fd, which blocks.
func (m *members) echo(fd int) error {
	if err := write(fd, message(m.bytes)); err != nil {
		return err
	}
	var got []byte
	for buf := make([]byte, 64<<10); ; {
		if n, payload := wsframe.Cut(got); n >= 0 {
			if got[0] != wsframe.Binary || len(payload) != m.bytes || n != len(got) {
				return fmt.Errorf("a message of %d bytes comes back as %#x with %d", m.bytes, got[0], len(payload))
			}
			return nil
		}
		n, err := descriptor(fd).Read(buf)
		if err != nil {
			return err
		}
		got = append(got, buf[:n]...)
	}
}

// exchange has each send a message, and the next when that has come back, for a time, and until all have. It returns how many have come back.
func (m *members) exchange(ctx context.Context, within time.Duration) (count int, took time.Duration, err error) {
	frame := message(m.bytes)
	whole := len(frame) - keyLength
	left := make(map[int32]int, len(m.readers))
	began := time.Now()
	for _, fd := range m.readers {
		if err := write(fd, frame); err != nil {
			return 0, 0, err
		}
		left[int32(fd)] = whole
	}
	open := len(m.readers)
	err = m.wait(ctx, within+m.patience, func(fd int32, b []byte) (bool, error) {
		if left[fd] -= len(b); left[fd] > 0 {
			return false, nil
		}
		count++
		if left[fd] < 0 {
			return false, fmt.Errorf("%d bytes more came back than were sent", -left[fd])
		}
		if time.Since(began) >= within {
			open--
			return open == 0, nil
		}
		left[fd] = whole
		return false, write(int(fd), frame)
	})
	return count, time.Since(began), err
}
