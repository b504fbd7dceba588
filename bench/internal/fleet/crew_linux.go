//go:build linux

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"rstserver/bench/internal/child"
	"rstserver/bench/kinds"
)

// What a process of clients is told, and what it answers, one JSON value after the other on its standard streams. It ends
// when the stream to it does, and leaves no socket.
type (
	request struct {
		Open  *Order `json:"open,omitempty"`
		Watch bool   `json:"watch,omitempty"` // say that it is so; connections may end from here on
		Stop  bool   `json:"stop,omitempty"`  // say how the connections have ended so far
	}
	answer struct {
		Opened   int                             `json:"opened,omitempty"` // so far
		Open     bool                            `json:"open,omitempty"`   // all are
		Own      map[kinds.Kind][]netip.AddrPort `json:"own,omitempty"`    // the addresses that these are from
		Watching bool                            `json:"watching,omitempty"`
		Endings  *Endings                        `json:"endings,omitempty"` // once all clients are told, or after a stop
		Err      string                          `json:"err,omitempty"`
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
	f, err := first.Open.connect(ctx, func(opened int) { _ = w.Encode(answer{Opened: opened}) })
	if err != nil {
		return w.Encode(answer{Err: err.Error()})
	}
	defer f.Close()
	if err := w.Encode(answer{Open: true, Own: f.own()}); err != nil {
		return err
	}
	// From here on nothing but the clients is to take the processors' time.
	debug.FreeOSMemory()
	debug.SetGCPercent(-1)
	for watching, said, stop := false, false, false; ; {
		select {
		case next, ok := <-requests:
			if !ok {
				return nil
			}
			stop = stop || next.Stop
			if next.Watch {
				watching = true
				if err := w.Encode(answer{Watching: true}); err != nil {
					return err
				}
			}
		default:
		}
		// Also when all are told: those that were answered close when the server does. It allocates nothing, since nothing is
		// collected.
		err := f.poll(10 * time.Millisecond)
		if err == nil && !watching {
			err = f.early()
		}
		if err != nil {
			return w.Encode(answer{Err: err.Error()})
		}
		if watching && !said && (stop || f.untold() == 0) {
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
	answers chan from // of all of them, in the order of each
}

type member struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	to     *json.Encoder
	opened int
	stage  stage
}

// stage is how far a member has come.
type stage uint8

const (
	opening stage = iota
	open
	watching
	told  // all of its clients are, or it was asked to stop
	ended // the process has
)

// from is an answer of a member, or the end of a process.
type from struct {
	*member
	answer
	ended bool
}

// Each is how many connections a process opens at the most with a limit of open files.
func Each(limit uint64) int { return max(1, min(int(min(limit, 1<<20))-100, 60_000)) }

// Hire starts the processes for n clients.
func Hire(command func() *exec.Cmd, n, each int) (_ *Crew, err error) {
	c := &Crew{answers: make(chan from)}
	defer func() {
		if err != nil {
			c.Dismiss()
		}
	}()
	for range (n + each - 1) / each {
		if err := c.start(command()); err != nil {
			return nil, fmt.Errorf("bench: starting a process of clients: %w", err)
		}
	}
	return c, nil
}

func (c *Crew) start(cmd *exec.Cmd) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	m := &member{cmd: cmd, in: in, to: json.NewEncoder(in)}
	err = child.Start(cmd, func() {
		for r := json.NewDecoder(out); ; {
			var a answer
			if r.Decode(&a) != nil {
				_ = cmd.Process.Kill() // if it does not end, it is some other program
				_ = cmd.Wait()
				c.answers <- from{member: m, ended: true}
				return
			}
			c.answers <- from{member: m, answer: a}
		}
	})
	if err == nil {
		c.members = append(c.members, m)
	}
	return err
}

// Error is what clients have met with, as one of their processes says it: the server's fault.
type Error string

func (e Error) Error() string { return string(e) }

// Open opens the connections of a mix, all processes beside each other. It returns an [Error], or that of alive, which is asked now and
// then whether the server is.
func (c *Crew) Open(ctx context.Context, o Order, progress func(opened int), alive func() error) error {
	o.Beside = len(c.members)
	n := o.Mix.Total()
	each := (n + len(c.members) - 1) / len(c.members)
	for i, m := range c.members {
		one := o
		one.From, one.To = min(i*each, n), min((i+1)*each, n)
		if err := m.tell(request{Open: &one}); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	own := make(map[kinds.Kind][]netip.AddrPort)
	take := func(f from) error {
		if f.Opened > 0 {
			f.opened = f.Opened
			progress(c.opened())
		}
		for kind, addresses := range f.Own {
			own[kind] = append(own[kind], addresses...)
		}
		return f.take()
	}
	until := func(all stage) error {
		for c.least() < all {
			select {
			case f := <-c.answers:
				if err := take(f); err != nil {
					return err
				}
			case <-ticker.C:
				if err := alive(); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
	if err := until(open); err != nil {
		return err
	}
	err := o.takenIn(ctx, own, func() error {
		select {
		case f := <-c.answers:
			return take(f)
		case <-time.After(time.Millisecond):
			return alive()
		}
	})
	if err != nil {
		return err
	}
	for _, m := range c.members {
		if err := m.tell(request{Watch: true}); err != nil {
			return err
		}
	}
	return until(watching)
}

func (m *member) tell(r request) error {
	if err := m.to.Encode(r); err != nil {
		return fmt.Errorf("bench: a process of clients: %w", err)
	}
	return nil
}

// take notes how far a member has come. The end of its process, and what it has met with, are errors.
func (f from) take() error {
	switch {
	case f.ended:
		f.stage = ended
		return errors.New("bench: a process of clients has ended")
	case f.Err != "":
		return Error(f.Err)
	case f.Open:
		f.stage = open
	case f.Watching:
		f.stage = watching
	case f.Endings != nil:
		f.stage = told
	}
	return nil
}

// PIDs are the numbers of the processes.
func (c *Crew) PIDs() []int {
	var pids []int
	for _, m := range c.members {
		pids = append(pids, m.cmd.Process.Pid)
	}
	return pids
}

// opened is how many connections are.
func (c *Crew) opened() (n int) {
	for _, m := range c.members {
		n += m.opened
	}
	return n
}

// least is how far all have come.
func (c *Crew) least() stage {
	least := ended
	for _, m := range c.members {
		least = min(least, m.stage)
	}
	return least
}

// Watch waits until all clients are told or ctx ends, and returns how they have ended by then.
func (c *Crew) Watch(ctx context.Context) (all Endings, err error) {
	stop := ctx.Done()
	var overdue <-chan time.Time
	for c.least() < told {
		select {
		case f := <-c.answers:
			if err := f.take(); err != nil {
				return all, err
			}
			if f.Endings != nil {
				all.merge(*f.Endings)
			}
		case <-stop:
			stop = nil
			for _, m := range c.members {
				if m.stage == told { // it may be about to say so by itself; then it does not again
					continue
				}
				if err := m.tell(request{Stop: true}); err != nil {
					return all, err
				}
			}
			timer := time.NewTimer(goodbye)
			defer timer.Stop()
			overdue = timer.C
		case <-overdue:
			return all, fmt.Errorf("bench: a process of clients has not said within %s how its connections ended", goodbye)
		}
	}
	return all, nil
}

// goodbye is how long a process may take to say how its connections have ended. It takes that long only if it hangs.
const goodbye = time.Minute

// dismissal is how long a process may take to reset its connections. It takes that long only if it hangs.
const dismissal = 5 * time.Second

// Dismiss ends the processes, and with them the connections.
func (c *Crew) Dismiss() {
	late := time.AfterFunc(dismissal, func() {
		for _, m := range c.members {
			_ = m.cmd.Process.Kill()
		}
	})
	defer late.Stop()
	for _, m := range c.members {
		_ = m.in.Close()
	}
	for c.least() < ended { // so that none is held up by what nobody reads
		if f := <-c.answers; f.ended {
			f.stage = ended
		}
	}
}
