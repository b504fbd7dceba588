//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/bench/internal/wire"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/linger/sockdiag"
)

// run is one measurement: a server is started, clients connect, the server is sent its signal, and what comes of that is seen from
// outside. measure may be called again, by one goroutine at a time.
type run struct {
	Server Server
	Mix    fleet.Mix
	// Processes is how many processes of the server share the port. Zero means 1.
	Processes int
	// For these see Comparison.
	Settle, Timeout, Late, Patience, Hold time.Duration
	// Wire watches the server's ends of connections on the wire, which costs it some time.
	Wire bool
	// TLS: all of it is over TLS, with a server that has the arguments for that, and Dir has the files of its certificate.
	TLS bool
	Dir string
	// Clients returns the command of a process of clients. Nil means this program as one.
	Clients func() *exec.Cmd
	// Stderr gets what the server prints there; nil: nobody does.
	Stderr io.Writer
	// Opened is told how many connections are open so far, Waiting what a port still holds that cannot be destroyed. Nil: nobody is.
	Opened  func(n int)
	Waiting func(left sockdiag.Counts)
}

// Defaults of a Comparison.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultLate     = 10 * time.Second
	DefaultPatience = time.Minute
)

// grace is how long clients may take to learn of what a server did that has ended: on one machine nothing is under way for
// longer than it takes to be scheduled.
const grace = time.Second

// failure is what a server did wrong, so that a run has no figures, or not those that count.
type failure struct {
	Err       error
	Unstarted bool // it did not come to listen
}

func (f *failure) Error() string { return f.Err.Error() }
func (f *failure) Unwrap() error { return f.Err }

// failed is a failure, unless err is nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &failure{Err: err}
}

// measure carries out the run. An error that is a failure is the server's fault; what was seen until then is in the report all the
// same, with an At if the server was sent the signal. Whatever happens, the server and its clients have ended when it returns, and
// nothing is left on the port. An end of ctx cuts it short, with ctx's cause as the error; what may not be destroyed is then left.
func (r run) measure(ctx context.Context) (rep report.Run, err error) {
	r = r.withDefaults()
	if r.Mix.Total() < 1 {
		return rep, fmt.Errorf("bench: the mix %q has no connections: it needs one at least", r.Mix)
	}
	limit, err := kernel.LimitOfFiles()
	if err != nil {
		return rep, err
	}
	if r.Server.Opener != nil && r.Mix.Only(kinds.Idle) && !r.Wire && !r.TLS {
		if rep.Pair, err = r.pair(ctx, limit); err != nil {
			return rep, err
		}
	}
	addr, err := r.address()
	if err != nil {
		return rep, err
	}
	empty, err := kernel.ReadMemory()
	if err != nil {
		return rep, err
	}
	crew, err := fleet.Hire(r.Clients, r.Mix.Total(), fleet.Each(limit))
	if err != nil {
		return rep, err
	}
	defer func() {
		crew.Dismiss()
		var left error
		if rep.Cleaned, left = kernel.Clean(ctx, addr.Port(), r.Waiting); left != nil && !errors.Is(err, left) {
			err = both(err, left)
		}
	}()
	p, err := r.Server.start(ctx, addr, r.Processes, r.Stderr, min(r.Patience, r.Timeout), r.Dir)
	if err != nil {
		if ctx.Err() != nil {
			return rep, context.Cause(ctx)
		}
		return rep, &failure{Err: err, Unstarted: true}
	}
	defer func() {
		// Clients that reset leave the server no TIME_WAIT, which they would if it were killed first.
		crew.Dismiss()
		p.Kill()
	}()
	idle, before, err := p.Usage()
	if err != nil {
		return rep, err
	}
	began := time.Now()
	target := fleet.Target{Addr: addr, Paths: r.Server.Paths, Late: r.Late, TLS: r.TLS, Bare: r.TLS && r.Server.Bare}
	order := fleet.Order{Target: target, Mix: r.Mix, Patience: r.Patience}
	err = crew.Open(ctx, order, r.Opened, func() error { return failed(p.Alive(ctx)) })
	var met fleet.Error
	switch {
	case err != nil && ctx.Err() != nil:
		return rep, context.Cause(ctx)
	case errors.As(err, &met):
		return rep, failed(both(p.Ending(ctx), met))
	case err != nil:
		return rep, err
	}
	rep.Open = time.Since(began)
	taken, _, err := p.Usage()
	if err != nil {
		return rep, err
	}
	rep.TakenIn = taken.Since(idle).Total
	if err := r.memory(crew, empty, &rep); err != nil {
		return rep, err
	}
	if err := r.hold(ctx, p, &rep); err != nil {
		return rep, err
	}
	err = r.teardown(ctx, p, crew, &rep)
	rep.Grown = max(rep.Anonymous-before.Anonymous, 0)
	return rep, err
}

// both is the error of what failed, and then of something else too, in one line. Either may be nil.
func both(err, also error) error {
	switch {
	case err == nil:
		return also
	case also == nil:
		return err
	}
	return fmt.Errorf("%w; %w", err, also)
}

func (r run) withDefaults() run {
	if r.Processes == 0 {
		r.Processes = 1
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if r.Late == 0 {
		r.Late = DefaultLate
	}
	if r.Patience == 0 {
		r.Patience = DefaultPatience
	}
	if r.Clients == nil {
		r.Clients = clients
	}
	if r.Opened == nil {
		r.Opened = func(int) {}
	}
	if r.Waiting == nil {
		r.Waiting = func(sockdiag.Counts) {}
	}
	return r
}

// address is where the server is to listen.
func (r run) address() (netip.AddrPort, error) {
	if r.Server.Port == 0 {
		return kernel.FreePort()
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(r.Server.Port))
	switch free, err := kernel.Unused(addr); {
	case err != nil:
		return addr, err
	case !free:
		return addr, failed(fmt.Errorf("port %d, which it listens on, is in use: rstserver free %d shows by whom", r.Server.Port, r.Server.Port))
	}
	return addr, nil
}

// start starts processes of the server on the port of addr.
func (s Server) start(ctx context.Context, addr netip.AddrPort, n int, stderr io.Writer, patience time.Duration, dir string) (*process.Family, error) {
	command := slices.Clone(s.Command)
	if n > 1 || s.Way.StartsBeside() { // another one is to listen beside it
		command = append(command, s.Share...)
	}
	return process.Start(ctx, process.Program{Name: s.Name, Command: s.words(command, addr, dir), Env: s.Env, Successor: s.Successor}, addr, n, stderr, patience)
}

// teardown sends the signal and watches.
func (r run) teardown(ctx context.Context, p *process.Family, crew *fleet.Crew, rep *report.Run) error {
	before, err := kernel.Counters()
	if err != nil {
		return err
	}
	used, held, err := p.Usage()
	if err != nil {
		return err
	}
	rep.Resident, rep.Anonymous = held.Resident, held.Anonymous
	var tap *wire.Tap
	if r.Wire {
		if tap, err = wire.Open(p.Addr.Port(), wireRoom(r.Mix.Total())); err != nil {
			return err
		}
		defer tap.Close()
	}
	if err := p.Alive(ctx); err != nil {
		return failed(err)
	}

	soft, err := kernel.SoftIRQ()
	if err != nil {
		return err
	}
	at, signalled := time.Now(), kernel.Now()
	if err := p.Signal(r.Server.Signal); err != nil {
		return failed(both(p.Alive(ctx), err))
	}
	rep.At = at
	probing, stopProbing := context.WithCancel(ctx)
	probes := make(chan kernel.Probed, 1)
	port := &kernel.Port{Addr: p.Addr}
	go func() {
		defer close(probes)
		probes <- port.Probe(probing)
	}()
	defer func() {
		stopProbing()
		for range probes { // it is over, and has nothing on the port
		}
	}()

	ending, stopWaiting := context.WithTimeout(ctx, r.Timeout)
	if r.Server.overdue != nil {
		overdue := r.Server.overdue(p)
		go func() {
			select {
			case <-overdue:
				stopWaiting()
			case <-ending.Done():
			}
		}()
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	gone := make(chan goneAt, 1)
	defer func() { // p is one goroutine's
		stopWaiting()
		for range gone {
		}
	}()
	go func() {
		defer close(gone)
		at, err := p.Gone(ending, fmt.Sprintf("%s after %s", r.Timeout, unix.SignalName(r.Server.Signal)))
		// Nobody is told anything any more, or not in time.
		wait := grace
		if err != nil {
			wait = 0
		}
		time.AfterFunc(wait, stopWatching)
		gone <- goneAt{at, err}
	}()
	endings, err := crew.Watch(watching)
	if err != nil {
		return err
	}
	end := <-gone
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if tap != nil {
		seen, err := tap.Read()
		if err != nil {
			return err
		}
		rep.Wire = onWire(seen, r.Mix.Total(), signalled)
	}
	softThen, err := kernel.SoftIRQ()
	if err != nil {
		return err
	}
	rep.SoftIRQ = softThen - soft
	wrong := told(rep, endings, signalled)
	if end.err == nil {
		gone := end.at - signalled
		rep.Gone = &gone
		rep.Exit = p.Exits()
		took := p.Used().Since(used)
		rep.CPU, rep.User = took.Total, took.User
		if gone < 0 {
			wrong = failed(fmt.Errorf("it had ended by itself before it was sent the signal, with %s", strings.Join(rep.Exit, ", ")))
		}
	}
	got, err := r.left(ctx, port, signalled, rep, probes, stopProbing)
	if err != nil {
		return err
	}
	after, err := kernel.Counters()
	if err != nil {
		return err
	}
	after[kernel.Resets] -= got.Resets
	rep.Kernel = kernel.Since(before, after)
	if end.err != nil {
		return failed(end.err)
	}
	return wrong
}

// memory notes what the connections take that is not the server's own: what their other ends hold, and by how much the kernel's has grown.
func (r run) memory(crew *fleet.Crew, empty kernel.Memory, rep *report.Run) error {
	held, err := process.HeldBy(crew.PIDs()...)
	if err != nil {
		return err
	}
	full, err := kernel.ReadMemory()
	if err != nil {
		return err
	}
	grown := full.Since(empty)
	rep.Clients, rep.KernelMemory, rep.Queues = held.Anonymous, max(grown.Total, 0), max(grown.Queues, 0)
	return nil
}

// hold lets time go by, and notes what that has cost the server. Clients go on answering what they are asked, such as pings.
func (r run) hold(ctx context.Context, p *process.Family, rep *report.Run) error {
	if r.Hold == 0 {
		return nil
	}
	before, _, err := p.Usage()
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(r.Hold):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, _, err := p.Usage()
	if err != nil {
		return err
	}
	rep.Held, rep.Holding = time.Since(began), after.Since(before).Total
	return nil
}

type goneAt struct {
	at  time.Duration
	err error
}

// told notes how clients were told. It is a failure when some were before the signal was sent.
func told(rep *report.Run, e fleet.Endings, signalled time.Duration) error {
	rep.Endings, rep.ByKind = e.Names(), make(map[string]map[string]int)
	for kind, t := range e.Of {
		rep.ByKind[string(kind)] = t.Names(e.Said[kind])
	}
	early := 0
	for _, s := range e.Steps {
		if s.At < signalled {
			early += s.N
		}
		rep.Curve = append(rep.Curve, report.Step{At: s.At - signalled, Ending: s.Ending.String(), N: s.N})
	}
	if n := len(rep.Curve); n > 0 && e.By[fleet.Untold] == 0 {
		rep.Told = &rep.Curve[n-1].At
	}
	switch {
	case early > 0:
		return failed(fmt.Errorf("%d connections had ended before the signal was sent; in-flight ones take longer with --late", early))
	case e.Spoke > 0 && e.Spoke < signalled:
		return failed(errors.New("it answered requests that were to take longer than the run; late=PATH names what answers late, and {ms} in it is how late"))
	case e.By[fleet.Failed] > 0:
		return failed(fmt.Errorf("%d clients failed in another way than by an end or a reset: %s", e.By[fleet.Failed], e.Err))
	}
	return nil
}

// left watches what is on the port until nothing is, or the settle time is over, and takes what the probe has seen.
func (r run) left(ctx context.Context, port *kernel.Port, signalled time.Duration, rep *report.Run, probes <-chan kernel.Probed, stopProbing func()) (*kernel.Probed, error) {
	ended := kernel.Now()
	deadline := ended + r.Settle
	interval := max(sampleInterval, r.Settle/maxSamples)
	var got *kernel.Probed
	for {
		dump, err := port.Sockets()
		if err != nil {
			return nil, err
		}
		at, counts := kernel.Now(), dump.Count()
		if n := len(rep.Left); n == 0 {
			if rep.Holders, err = holders(dump); err != nil {
				return nil, err
			}
			rep.Left = append(rep.Left, report.Left{At: at - signalled, States: counts})
		} else if rep.Left[n-1].States != counts || at >= deadline && counts.Total() > 0 { // and what is there at the end
			rep.Left = append(rep.Left, report.Left{At: at - signalled, States: counts})
		}
		if counts.Total() == 0 {
			// What the probe has yet to see is there.
			deadline = max(deadline, ended+r.Patience)
		}
		if got != nil && (counts.Total() == 0 || got.Err != nil) || at >= deadline {
			break
		}
		pause := time.NewTimer(min(interval, deadline-at))
		select {
		case p := <-probes:
			got = &p
			probes = nil
		case <-pause.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		pause.Stop()
	}
	stopProbing()
	if got == nil {
		p := <-probes
		got = &p
	}
	if got.Err != nil {
		return nil, fmt.Errorf("bench: probing port %d: %w", port.Addr.Port(), got.Err)
	}
	rep.Refused, rep.Free = from(got.Refused, signalled), from(got.Free, signalled)
	return got, nil
}

// How often the port is looked at that does not become free, and how often at the most.
const (
	sampleInterval = 20 * time.Millisecond
	maxSamples     = 500
)

// from is a moment counted from the signal.
func from(m *report.Moment, signalled time.Duration) *report.Moment {
	if m == nil {
		return nil
	}
	return &report.Moment{At: m.At - signalled, Before: max(m.Before-signalled, 0)}
}

// holders are the processes that have sockets of the dump open, each once.
func holders(d sockdiag.Dump) ([]string, error) {
	processes, _, err := d.Holders()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range processes {
		if name := fmt.Sprintf("%s (pid %d)", p.Name, p.PID); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}
