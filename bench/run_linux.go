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

	"rstserver/bench/report"
	"rstserver/linger/sockdiag"
)

// Run is one measurement: a server is started, clients connect, the server is sent its signal, and what comes of that is seen
// from outside. Measure may be called again, by one goroutine at a time.
type Run struct {
	Server Server
	Mix    Mix
	// Processes is how many processes of the server share the port. 0 means 1.
	Processes int
	// Clients returns the command of a process that calls ServeClients with its standard streams.
	Clients func() *exec.Cmd
	// Settle is how long a port is watched that does not become free, from the end of the server on.
	Settle time.Duration
	// Timeout is how long a server may take to end; then it is killed. 0 means DefaultTimeout.
	Timeout time.Duration
	// Late is how long an InFlight request takes. 0 means DefaultLate.
	Late time.Duration
	// Patience is how long each process of the server may take to listen, and each process of clients to open its connections.
	// 0 means DefaultPatience.
	Patience time.Duration
	// Stderr gets what the server prints there; nil: nobody does.
	Stderr io.Writer
	// Opened is told how many connections are open so far, Waiting what a port still holds that cannot be destroyed. Nil: nobody is.
	Opened  func(n int)
	Waiting func(left sockdiag.Counts)
}

// Defaults of a Run.
const (
	DefaultSettle   = time.Second
	DefaultTimeout  = 10 * time.Second
	DefaultLate     = 10 * time.Second
	DefaultPatience = time.Minute
)

// grace is how long clients may take to learn of what a server did that has ended: on one machine nothing is under way for
// longer than it takes to be scheduled.
const grace = time.Second

// A Failure is what a server did wrong, so that a run has no figures, or not those that count.
type Failure struct {
	Err       error
	Unstarted bool // it did not come to listen
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

func failure(err error) error { return &Failure{Err: err} }

// LimitOfFiles is how many descriptors one process may have: the hard limit, to which a Go program raises its own.
func LimitOfFiles() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("bench: getrlimit RLIMIT_NOFILE: %w", err)
	}
	return l.Max, nil
}

// Measure carries out the run. An error that is a Failure is the server's fault; what was seen until then is in the report all the
// same, with an At if the server was sent the signal. Whatever happens, the server and its clients have ended when it returns, and
// nothing is left on the port. An end of ctx cuts it short, with ctx's cause as the error; what may not be destroyed is then left.
func (r Run) Measure(ctx context.Context) (rep report.Run, err error) {
	r = r.withDefaults()
	if r.Mix.Total() < 1 {
		return rep, fmt.Errorf("bench: the mix %q has no connections: it needs one at least", r.Mix)
	}
	limit, err := LimitOfFiles()
	if err != nil {
		return rep, err
	}
	addr, err := r.address()
	if err != nil {
		return rep, err
	}
	crew, err := hire(r.Clients, r.Mix.Total(), clientsEach(limit))
	if err != nil {
		return rep, err
	}
	defer func() {
		crew.dismiss()
		var left error
		if rep.Cleaned, left = clean(ctx, addr.Port(), r.Waiting); left != nil && !errors.Is(err, left) {
			err = both(err, left)
		}
	}()
	p, err := r.Server.start(ctx, addr, r.Processes, r.Stderr, r.Patience)
	if err != nil {
		if ctx.Err() != nil {
			return rep, context.Cause(ctx)
		}
		return rep, &Failure{Err: err, Unstarted: true}
	}
	defer func() {
		// Clients that reset leave the server no TIME_WAIT, which they would if it were killed first.
		crew.dismiss()
		p.Kill()
	}()
	began := time.Now()
	target := Target{Addr: addr, Paths: r.Server.Paths, Late: r.Late}
	if err := crew.open(ctx, Order{Target: target, Mix: r.Mix, Patience: r.Patience}, r.Opened, p); err != nil {
		if ctx.Err() != nil {
			return rep, context.Cause(ctx)
		}
		return rep, err
	}
	rep.Open = time.Since(began)
	err = r.teardown(ctx, p, crew, &rep)
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

func (r Run) withDefaults() Run {
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
	if r.Opened == nil {
		r.Opened = func(int) {}
	}
	if r.Waiting == nil {
		r.Waiting = func(sockdiag.Counts) {}
	}
	return r
}

// address is where the server is to listen.
func (r Run) address() (netip.AddrPort, error) {
	if r.Server.Port == 0 {
		return freePort()
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(r.Server.Port))
	switch free, err := unused(addr); {
	case err != nil:
		return addr, err
	case !free:
		return addr, failure(fmt.Errorf("port %d, which it listens on, is in use: rstserver free %d shows by whom", r.Server.Port, r.Server.Port))
	}
	return addr, nil
}

// teardown sends the signal and watches.
func (r Run) teardown(ctx context.Context, p *Processes, crew *crew, rep *report.Run) error {
	if _, err := p.strays.reap(); err != nil {
		return err
	}
	family, err := p.family()
	if err != nil {
		return err
	}
	if rep.Resident, err = resident(family); err != nil {
		return err
	}
	before, err := counters()
	if err != nil {
		return err
	}
	used, err := cpu(family)
	if err != nil {
		return err
	}
	used += p.strays.used
	if err := p.Alive(); err != nil {
		return failure(err)
	}

	at, signalled := time.Now(), now()
	if err := p.Signal(r.Server.Signal); err != nil {
		return failure(both(p.Alive(), err))
	}
	rep.At = at
	probing, stopProbing := context.WithCancel(ctx)
	probes := make(chan probed, 1)
	port := &watched{addr: p.Addr}
	go func() {
		defer close(probes)
		probes <- port.probe(probing)
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
		at, err := p.Gone(ending)
		// Nobody is told anything any more, or not in time.
		wait := grace
		if err != nil {
			wait = 0
		}
		time.AfterFunc(wait, stopWatching)
		gone <- goneAt{at, err}
	}()
	endings, err := crew.watch(watching)
	if err != nil {
		return err
	}
	end := <-gone
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	wrong := told(rep, endings, signalled)
	if end.err == nil {
		gone := end.at - signalled
		rep.Gone = &gone
		rep.Exit = p.Exits()
		rep.CPU = max(p.used()-used, 0)
		if gone < 0 {
			wrong = failure(fmt.Errorf("it had ended by itself before it was sent the signal, with %s", strings.Join(rep.Exit, ", ")))
		}
	}
	got, err := r.left(ctx, port, signalled, rep, probes, stopProbing)
	if err != nil {
		return err
	}
	after, err := counters()
	if err != nil {
		return err
	}
	after[resets] -= got.resets
	rep.Kernel = since(before, after)
	if end.err != nil {
		return failure(p.stillRuns(fmt.Sprintf("%s after %s", r.Timeout, unix.SignalName(r.Server.Signal))))
	}
	return wrong
}

type goneAt struct {
	at  time.Duration
	err error
}

// told notes how clients were told. It is a Failure when some were before the signal was sent.
func told(rep *report.Run, e Endings, signalled time.Duration) error {
	rep.Endings, rep.ByKind = e.By.names(), make(map[string]map[string]int)
	for kind, t := range e.Of {
		rep.ByKind[string(kind)] = t.names()
	}
	early := 0
	for _, s := range e.Steps {
		if s.At < signalled {
			early += s.N
		}
		rep.Curve = append(rep.Curve, report.Step{At: s.At - signalled, Ending: s.Ending.String(), N: s.N})
	}
	if n := len(rep.Curve); n > 0 && e.By[Untold] == 0 {
		rep.Told = &rep.Curve[n-1].At
	}
	switch {
	case early > 0:
		return failure(fmt.Errorf("%d connections had ended before the signal was sent; in-flight ones take longer with --late", early))
	case e.Spoke > 0 && e.Spoke < signalled:
		return failure(errors.New("it answered requests that were to take longer than the run; late=PATH names what answers late, and {ms} in it is how late"))
	case e.By[Failed] > 0:
		return failure(fmt.Errorf("%d clients failed in another way than by an end or a reset: %s", e.By[Failed], e.Err))
	}
	return nil
}

// left watches what is on the port until nothing is, or the settle time is over, and takes what the probe has seen.
func (r Run) left(ctx context.Context, port *watched, signalled time.Duration, rep *report.Run, probes <-chan probed, stopProbing func()) (*probed, error) {
	ended := now()
	deadline := ended + r.Settle
	interval := max(sampleInterval, r.Settle/maxSamples)
	var got *probed
	for {
		dump, err := port.sockets()
		if err != nil {
			return nil, err
		}
		at, counts := now(), dump.Count()
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
		if got != nil && (counts.Total() == 0 || got.err != nil) || at >= deadline {
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
	if got.err != nil {
		return nil, fmt.Errorf("bench: probing port %d: %w", port.addr.Port(), got.err)
	}
	rep.Refused, rep.Free = from(got.refused, signalled), from(got.free, signalled)
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
