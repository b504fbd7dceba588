//go:build linux

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"rstserver/bench/internal/child"
)

// What a process of clients is told, and what it answers, one JSON value after the other on its standard streams. It ends
// when the stream to it does, and leaves no socket.
type (
	request struct {
		Open *Order `json:"open,omitempty"`
		Stop bool   `json:"stop,omitempty"` // say how the connections have ended so far
	}
	answer struct {
		Opened  int      `json:"opened,omitempty"` // so far
		Ready   bool     `json:"ready,omitempty"`
		Endings *Endings `json:"endings,omitempty"` // once all clients are told, or after a stop
		Err     string   `json:"err,omitempty"`
	}
)

// Serve is the process of clients: it opens the connections that it is told to, and says how they have ended.
func Serve(in io.Reader, out io.Writer) error {
	w := json.NewEncoder(out)
	requests := make(chan request)
	var ended error // of requests, once it is closed
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(requests)
		defer cancel()
		for r := json.NewDecoder(in); ; {
			var next request
			if ended = r.Decode(&next); ended != nil {
				return
			}
			requests <- next
		}
	}()
	first, ok := <-requests
	switch {
	case !ok && ended == io.EOF:
		return nil // the server did not come up
	case first.Open == nil:
		return errors.New("bench: a process of clients is started by the benchmark, and told what to open")
	}
	f, err := first.Open.Open(ctx, func(opened int) { _ = w.Encode(answer{Opened: opened}) })
	if err != nil {
		return w.Encode(answer{Err: err.Error()})
	}
	defer f.Close()
	// From here on nothing but the clients is to take the processors' time.
	debug.FreeOSMemory()
	debug.SetGCPercent(-1)
	if err := w.Encode(answer{Ready: true}); err != nil {
		return err
	}
	for said, stop := false, false; ; {
		select {
		case next, ok := <-requests:
			if !ok {
				return nil
			}
			stop = stop || next.Stop
		default:
		}
		// Also when all are told: those that were answered close when the server does. It allocates nothing, since nothing is
		// collected.
		if err := f.poll(10 * time.Millisecond); err != nil {
			return w.Encode(answer{Err: err.Error()})
		}
		if !said && (stop || f.untold() == 0) {
			said = true
			e := f.endings()
			if err := w.Encode(answer{Endings: &e}); err != nil {
				return err
			}
		}
	}
}

// Crew is the processes of clients of a run, as few as the limit of open files allows. It is used by one goroutine.
type Crew struct {
	members []*member
}

type member struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	to      *json.Encoder
	answers chan answer // closed when it has ended
}

// Each is how many connections a process opens at the most with a limit of open files.
func Each(limit uint64) int { return max(1, min(int(min(limit, 1<<20))-100, 60_000)) }

// Hire starts the processes for n clients.
func Hire(command func() *exec.Cmd, n, each int) (_ *Crew, err error) {
	c := &Crew{}
	defer func() {
		if err != nil {
			c.Dismiss()
		}
	}()
	for range (n + each - 1) / each {
		m, err := start(command())
		if err != nil {
			return nil, fmt.Errorf("bench: starting a process of clients: %w", err)
		}
		c.members = append(c.members, m)
	}
	return c, nil
}

func start(cmd *exec.Cmd) (*member, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	m := &member{cmd: cmd, in: in, to: json.NewEncoder(in), answers: make(chan answer, 1)}
	return m, child.Start(cmd, func() {
		defer close(m.answers)
		for r := json.NewDecoder(out); ; {
			var a answer
			if r.Decode(&a) != nil {
				_ = cmd.Process.Kill() // if it does not end, it is some other program
				_ = cmd.Wait()
				return
			}
			m.answers <- a
		}
	})
}

// Error is what clients have met with, as one of their processes says it: the server's fault.
type Error string

func (e Error) Error() string { return string(e) }

// Open opens the connections of a mix, one process after the other. It returns an [Error], or that of alive, which is asked now and
// then whether the server is.
func (c *Crew) Open(ctx context.Context, o Order, progress func(opened int), alive func() error) error {
	n := o.Mix.Total()
	each := (n + len(c.members) - 1) / len(c.members)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i, m := range c.members {
		o.From, o.To = min(i*each, n), min((i+1)*each, n)
		if err := m.to.Encode(request{Open: &o}); err != nil {
			return fmt.Errorf("bench: a process of clients: %w", err)
		}
		for ready := false; !ready; {
			select {
			case a, ok := <-m.answers:
				if !ok {
					return errors.New("bench: a process of clients has ended")
				}
				if a.Err != "" {
					return Error(a.Err)
				}
				if ready = a.Ready; ready {
					a.Opened = o.To - o.From
				}
				if a.Opened > 0 {
					progress(o.From + a.Opened)
				}
			case <-ticker.C:
				if err := alive(); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// Watch waits until all clients are told or ctx ends, and returns how they have ended by then.
func (c *Crew) Watch(ctx context.Context) (Endings, error) {
	var all Endings
	for _, m := range c.members {
		select {
		case a, ok := <-m.answers:
			if err := all.take(a, ok); err != nil {
				return all, err
			}
			continue
		case <-ctx.Done():
		}
		// It may have been about to say so by itself; then it does not again.
		if err := m.to.Encode(request{Stop: true}); err != nil {
			return all, fmt.Errorf("bench: a process of clients: %w", err)
		}
		select {
		case a, ok := <-m.answers:
			if err := all.take(a, ok); err != nil {
				return all, err
			}
		case <-time.After(goodbye):
			return all, fmt.Errorf("bench: a process of clients has not said within %s how its connections ended", goodbye)
		}
	}
	return all, nil
}

func (e *Endings) take(a answer, ok bool) error {
	switch {
	case !ok:
		return errors.New("bench: a process of clients has ended")
	case a.Endings == nil:
		return fmt.Errorf("bench: a process of clients: %s", a.Err)
	}
	e.merge(*a.Endings)
	return nil
}

// goodbye is how long a process may take to say how its connections have ended. It takes that long only if it hangs.
const goodbye = time.Minute

// dismissal is how long a process may take to reset its connections. It takes that long only if it hangs.
const dismissal = 5 * time.Second

// Dismiss ends the processes, and with them the connections.
func (c *Crew) Dismiss() {
	for _, m := range c.members {
		_ = m.in.Close()
	}
	for _, m := range c.members {
		late := time.AfterFunc(dismissal, func() { _ = m.cmd.Process.Kill() })
		for range m.answers { // so that it is not held up by what nobody reads
		}
		late.Stop()
	}
}
