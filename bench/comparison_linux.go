//go:build linux

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/linger/sockdiag"
)

// Comparison is what is measured: each server with each number of connections of each mix, several times. It is used by one goroutine.
// The clients are this program, started again: it calls [Helper].
type Comparison struct {
	Servers []Server
	N       []int          // of connections
	Shares  []kinds.Shares // mixes, of which each is measured with each N
	Runs    int            // of each server with each of these
	// TLS: all connections are over TLS. Servers that cannot are left out, but for those that are Bare.
	TLS bool
	// Wire is how many runs follow these in which the kernel's time stamps say when the server has ended its connections, for
	// report.Cell.Wired. That needs CAP_NET_RAW; where it cannot be had the document says so, and these runs are left out.
	Wire int
	// Settle is how long a port is watched that does not become free, from the end of the server on.
	Settle time.Duration
	// Hold is how long the connections are held before the signal, so that it is known what processor time that takes.
	Hold time.Duration
	// Timeout is how long a server may take to end; then it is killed. Zero means DefaultTimeout. An in-flight request adds Late to it.
	Timeout time.Duration
	// Late is how long an in-flight request takes. Zero means DefaultLate.
	Late time.Duration
	// Patience is how long each process of the server may take to listen, if that is less than Timeout, and each process of clients to open its connections.
	// Zero means DefaultPatience.
	Patience time.Duration
	// Progress is told what is under way, some ten times for a thousand connections. Nil: nobody is.
	Progress func(Progress)
}

// Progress is what is under way.
type Progress struct {
	Server  string
	N       int
	Mix     string
	Round   int
	Done    int // runs, of Of
	Of      int
	Opened  int             // connections of this run
	Waiting sockdiag.Counts // on the port of this run, that cannot be destroyed
	Left    time.Duration   // a guess; 0: not known yet
}

// Measure carries everything out, and returns what comes of it: cells, skipped and failed servers, and warnings. What servers do wrong is
// in there. The error is ctx's, or says that the benchmark itself cannot go on; what was found until then is returned with it.
func (c *Comparison) Measure(ctx context.Context) (*report.Document, error) {
	defaults := run{Timeout: c.Timeout, Late: c.Late}.withDefaults()
	d := &report.Document{
		Version: report.Version, Program: programVersion(), Began: time.Now(), Machine: kernel.Machine(),
		Settings: report.Settings{Runs: c.Runs, Wire: c.Wire, Settle: c.Settle, Timeout: defaults.Timeout, Late: defaults.Late, Probe: kernel.ProbeInterval},
	}
	return d, c.measure(ctx, d)
}

func (c *Comparison) measure(ctx context.Context, d *report.Document) error {
	if isHelper(os.Args[1:]) { // which would start another one, and so on
		return errors.New("bench: this process was started to be a server or clients: main has to call bench.Helper before it measures")
	}
	m := measuring{Comparison: c, d: d, out: make(map[string]bool), started: make(map[string]bool)}
	var err error
	if m.limit, err = kernel.LimitOfFiles(); err != nil {
		return err
	}
	if m.wire = c.Wire; m.wire > 0 && len(c.N) > 0 {
		var warning string
		if d.Unwired, warning = unwired(slices.Max(c.N)); d.Unwired != "" {
			m.wire = 0
			d.Warnings = append(d.Warnings, warning)
		}
	}
	servers := c.Servers
	if c.TLS {
		if m.dir, err = makeCertificate(); err != nil {
			return err
		}
		defer os.RemoveAll(m.dir)
		servers = nil
		for _, s := range c.Servers {
			servers = append(servers, s.overTLS())
		}
	}
	able, err := describe(d, servers)
	if err != nil {
		return err
	}
	var fields []field
	for _, shares := range c.Shares {
		for _, n := range c.N {
			f := m.field(able, shares, n)
			fields = append(fields, f)
			for round := range c.Runs + m.wire {
				for i := range f.servers {
					m.schedule = append(m.schedule, scheduled{f.turn(i, round).Name, n})
				}
			}
		}
	}
	defer func() { d.Took = time.Since(d.Began) }()
	for _, f := range fields {
		if err := m.measure(ctx, f); err != nil {
			d.Interrupted = ctx.Err() != nil
			return err
		}
	}
	return nil
}

// missing reports whether what the server needs is not there.
func (s Server) missing() bool {
	if s.Needs == "" {
		return false
	}
	_, err := os.Stat(s.Needs)
	return err != nil
}

// shown is a command as a reader can repeat it: this program by its name, since where it is is nobody else's concern.
func shown(command []string) []string {
	command = slices.Clone(command)
	if program, err := os.Executable(); err == nil {
		for i := range command {
			if command[i] == program {
				command[i] = filepath.Base(program)
			}
		}
	}
	return command
}

// measuring is a Comparison under way.
type measuring struct {
	*Comparison
	d        *report.Document
	limit    uint64          // of open files
	dir      string          // of the certificate, over TLS
	wire     int             // runs in which the wire is seen
	schedule []scheduled     // all runs, in their order
	done     int             // of them
	out      map[string]bool // servers that do not start, and never have, by name
	started  map[string]bool // servers that have
	pace     pace
}

type scheduled struct {
	server string
	n      int
}

// field is the servers that are measured in turn, with as many connections of one mix.
type field struct {
	servers []Server
	shares  kinds.Shares
	mix     string // what these are called
	n       int
}

// turn is the server that is the i-th of a round. Each round begins with the next one, so that nobody always comes behind
// the same.
func (f field) turn(i, round int) Server { return f.servers[(i+round)%len(f.servers)] }

// field leaves out, and notes, the servers that cannot be measured so.
func (m *measuring) field(servers []Server, shares kinds.Shares, n int) field {
	f := field{shares: shares, mix: shares.String(), n: n}
	if m.TLS {
		f.mix += report.OverTLS
	}
	for _, s := range servers {
		if reason := m.unable(s, shares, n); reason != "" {
			m.d.Skipped = append(m.d.Skipped, report.Omission{Server: s.Name, N: n, Mix: f.mix, Reason: reason})
			continue
		}
		f.servers = append(f.servers, s)
	}
	return f
}

// reserve is how many descriptors a server may need besides its connections.
const reserve = 600

// processes is how many processes of a server hold n connections.
func (m *measuring) processes(s Server, n int) int {
	if s.Scaling == Itself || uint64(n+reserve) <= m.limit {
		return 1
	}
	// The kernel spreads connections by a hash, so not all get the same number.
	each := int(m.limit) * 4 / 5
	return (n + each - 1) / each
}

// unable says why a server cannot be measured with n connections of a mix, if that is so.
func (m *measuring) unable(s Server, shares kinds.Shares, n int) string {
	for _, share := range shares {
		if err := m.lack(s, share.Kind); err != nil {
			return err.Error()
		}
	}
	if m.processes(s, n) > 1 && s.Scaling == Alone {
		return fmt.Sprintf("it is one process, which may have %d open files here (ulimit -Hn), and cannot share its port with another", m.limit)
	}
	return ""
}

// lack says what a server is without that connections of a kind need, if that is so.
func (m *measuring) lack(s Server, kind kinds.Kind) error {
	if !m.TLS {
		return s.Paths.Lack(kind)
	}
	if s.Bare { // its clients ask for nothing
		return nil
	}
	return cmp.Or(s.unsecured(kind), s.Paths.Lack(kind))
}

// measure measures the servers of a field in turn, round by round.
func (m *measuring) measure(ctx context.Context, f field) error {
	cells := make(map[string]*report.Cell) // by server
	defer func() {
		for _, s := range f.servers {
			if c := cells[s.Name]; c != nil {
				m.d.Cells = append(m.d.Cells, *c)
			}
		}
	}()
	failed := make(map[string]bool)
	for round := range m.Runs + m.wire {
		for i := range f.servers {
			s := f.turn(i, round)
			if failed[s.Name] || m.out[s.Name] {
				m.done++
				continue
			}
			began := time.Now()
			run, err := m.run(ctx, f, s, round+1)
			var fault *failure
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && !errors.As(err, &fault):
				return err
			case err != nil:
				m.fail(s, f, round+1, fault.Unstarted, err)
				failed[s.Name] = true
			}
			m.started[s.Name] = m.started[s.Name] || fault == nil || !fault.Unstarted
			if !run.At.IsZero() {
				if cells[s.Name] == nil {
					processes := m.processes(s, f.n)
					each := fleet.Each(m.limit)
					cells[s.Name] = &report.Cell{Server: s.Name, N: f.n, Mix: f.mix, Processes: processes, Clients: (f.n + each - 1) / each}
				}
				if round < m.Runs {
					cells[s.Name].Runs = append(cells[s.Name].Runs, run)
				} else {
					cells[s.Name].Wired = append(cells[s.Name].Wired, run)
				}
			}
			m.done++
			m.pace.ran(s.Name, f.n, time.Since(began))
			m.warn(s, f, run)
		}
	}
	return nil
}

// reason is a failure without what is said beside it.
func reason(err error, server string) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "bench: "), server+": ")
}

// fail notes what a server did wrong. One that does not start is not tried again, unless it has started before, or may with fewer
// processes.
func (m *measuring) fail(s Server, f field, round int, unstarted bool, err error) {
	o := report.Omission{Server: s.Name, Reason: reason(err, s.Name)}
	if unstarted && !m.started[s.Name] && m.processes(s, f.n) == 1 {
		m.out[s.Name] = true
	} else {
		o.N, o.Mix, o.Round = f.n, f.mix, round
	}
	m.d.Failed = append(m.d.Failed, o)
}

func (m *measuring) run(ctx context.Context, f field, s Server, round int) (report.Run, error) {
	p := Progress{Server: s.Name, N: f.n, Mix: f.mix, Round: round, Done: m.done, Of: len(m.schedule), Left: m.left()}
	tell := func() {
		if m.Progress != nil {
			m.Progress(p)
		}
	}
	tell()
	r := run{
		Server: s, Mix: fleet.Of(f.shares, f.n), Processes: m.processes(s, f.n),
		Wire: round > m.Runs, TLS: m.TLS, Dir: m.dir,
		Settle: m.Settle, Timeout: m.d.Settings.Timeout, Late: m.d.Settings.Late, Patience: m.Patience, Hold: m.Hold,
		Opened:  func(n int) { p.Opened = n; tell() },
		Waiting: func(left sockdiag.Counts) { p.Waiting = left; tell() },
	}
	if slices.ContainsFunc(f.shares, func(s kinds.Share) bool { return s.Kind == kinds.InFlight || s.Kind == kinds.H2Streams }) {
		r.Timeout += r.Late // a server that lets requests end takes that long
	}
	measured, err := r.measure(ctx)
	measured.Round = round
	return measured, err
}

// warn notes what makes the figures of a run doubtful.
func (m *measuring) warn(s Server, f field, run report.Run) {
	if n := run.Kernel[kernel.Overflow]; n > 0 {
		m.d.Warnings = append(m.d.Warnings, fmt.Sprintf("%s, %d %s, run %d: %d connections were ended without the TIME_WAIT that was due, "+
			"since the kernel holds net.ipv4.tcp_max_tw_buckets at the most: more was left than is counted; raise it", s.Name, f.n, f.mix, run.Round, n))
	}
	if n := run.Kernel[kernel.Dropped]; n > 0 && run.Endings[fleet.Untold.String()] > 0 {
		m.d.Warnings = append(m.d.Warnings, fmt.Sprintf("%s, %d %s, run %d: %d of its clients were told nothing, and the machine dropped %d segments that found no room "+
			"(net.core.netdev_max_backlog): a RST is not sent again; raise it", s.Name, f.n, f.mix, run.Round, run.Endings[fleet.Untold.String()], n))
	}
	if n := run.Kernel["TCPAbortOnMemory"]; n > 0 {
		m.d.Warnings = append(m.d.Warnings, fmt.Sprintf("%s, %d %s, run %d: the kernel itself reset %d connections for want of memory (net.ipv4.tcp_mem, "+
			"net.ipv4.tcp_max_orphans): raise these, or measure fewer", s.Name, f.n, f.mix, run.Round, n))
	}
}

// left guesses how long the runs take that are to come, this one included.
func (m *measuring) left() (left time.Duration) {
	for _, r := range m.schedule[min(m.done, len(m.schedule)):] {
		if !m.out[r.server] {
			left += m.pace.guess(r.server, r.n)
		}
	}
	return left
}

// pace is how long runs take.
type pace struct {
	of    map[string]float64 // nanoseconds a unit of work, by server
	total float64
	runs  int
}

// work is what a run of n connections is guessed to take: that much for each, and as much as some thousands of them for
// the start and the end.
func work(n int) float64 { return float64(n + 3000) }

func (p *pace) ran(server string, n int, took time.Duration) {
	if p.of == nil {
		p.of = make(map[string]float64)
	}
	p.of[server] = float64(took) / work(n)
	p.total += p.of[server]
	p.runs++
}

// guess is 0 as long as nothing is known.
func (p *pace) guess(server string, n int) time.Duration {
	each, ok := p.of[server]
	if !ok && p.runs > 0 {
		each = p.total / float64(p.runs)
	}
	return time.Duration(each * work(n))
}
