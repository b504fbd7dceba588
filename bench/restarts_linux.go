//go:build linux

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/prose"
	"rstserver/linger/sockdiag"
)

// Restarts is what is measured of restarts: each server in turn is started, clients come that repeat no request by themselves, and it is
// restarted several times, each time in its [Way]. It is used by one goroutine. The clients are in this process, and the servers may be this
// program, started again: it calls [Helper].
type Restarts struct {
	Servers []Server
	Clients kinds.Shares  // of kinds that are at work
	N       int           // of clients; a server that has no path for a kind has fewer
	Runs    int           // of each server
	Each    int           // restarts in each run
	Rate    float64       // requests a second of get and post clients together
	Window  time.Duration // that each restart is watched at least, and as long without one
	Late    time.Duration // that a slow answer takes
	Timeout time.Duration // that a restart may take. Zero means DefaultTimeout.
	// Progress is told what is under way: Mix is what is done. Nil: nobody is.
	Progress func(Progress)
}

// Defaults of a Restarts.
const (
	DefaultRate     = 1000
	DefaultWindow   = 2 * time.Second
	DefaultRestarts = 4
	DefaultWorkers  = 100
	DefaultWork     = "get=20,post=20,in-flight=8,upload=4,idle=24,websocket=12,sse=12"
)

// Measure carries everything out, like that of a Comparison: what it returns, and the error, are the same.
func (m *Restarts) Measure(ctx context.Context) (*report.Document, error) {
	timeout := m.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	d := &report.Document{
		Version: report.Version, Program: programVersion(), Began: time.Now(), Machine: kernel.Machine(),
		Settings: report.Settings{Runs: m.Runs, Timeout: timeout, Late: m.Late, Restarts: m.Each, Rate: m.Rate, Window: m.Window, Clients: m.Clients.String(), N: m.N},
	}
	defer func() { d.Took = time.Since(d.Began) }()
	if isHelper(os.Args[1:]) { // which would start another one, and so on
		return d, errors.New("bench: this process was started to be a server or clients: main has to call bench.Helper before it measures")
	}
	able, err := describe(d, m.Servers)
	if err != nil {
		return d, err
	}
	cells := make([]report.Restarted, len(able))
	defer func() {
		for _, c := range cells {
			if len(c.Runs) > 0 {
				d.Restarted = append(d.Restarted, c)
			}
		}
	}()
	failed := make([]bool, len(able))
	done := 0
	for round := range m.Runs {
		for k := range able {
			i := (k + round) % len(able) // nobody always comes behind the same
			s := able[i]
			done++
			if failed[i] {
				continue
			}
			clients, without := m.clients(s)
			cells[i].Server, cells[i].Clients, cells[i].Without = s.Name, counted(clients), without
			p := Progress{Server: s.Name, N: clients.Total(), Opened: clients.Total(), Round: round + 1, Done: done - 1, Of: m.Runs * len(able), Left: m.left(d, done)}
			tell := func() {
				if m.Progress != nil {
					m.Progress(p)
				}
			}
			r := restartRun{
				Server: s, Clients: clients, Restarts: m.Each, Rate: m.Rate, Late: m.Late, Window: m.Window, Timeout: timeout,
				Patience: max(timeout, DefaultTimeout), PIDFile: max(timeout, DefaultTimeout),
				Begun:   func(n int) { p.Mix = fmt.Sprintf("clients, restart %d of %d", n, m.Each); tell() },
				Waiting: func(left sockdiag.Counts) { p.Waiting = left; tell() },
			}
			p.Mix = "clients"
			tell()
			run, err := r.measure(ctx)
			run.Round = round + 1
			if len(run.Restarts) > 0 {
				cells[i].Runs = append(cells[i].Runs, run)
			}
			var fault *failure
			switch {
			case ctx.Err() != nil:
				d.Interrupted = true
				return d, context.Cause(ctx)
			case errors.As(err, &fault):
				failed[i] = true
				o := report.Omission{Server: s.Name, Round: round + 1, Reason: reason(err, s.Name)}
				if r.begun > 0 {
					o.Reason = fmt.Sprintf("restart %d: %s", r.begun, o.Reason)
				}
				d.Failed = append(d.Failed, o)
			case err != nil:
				return d, err
			}
		}
	}
	return d, nil
}

// left guesses how long what is to be done takes.
func (m *Restarts) left(d *report.Document, done int) time.Duration {
	if done < 2 {
		return 0
	}
	return time.Since(d.Began) / time.Duration(done-1) * time.Duration(m.Runs*len(m.Servers)-done+1)
}

// clients are those that a server has paths for, and the kinds of the others.
func (m *Restarts) clients(s Server) (clients fleet.Mix, without []string) {
	for _, share := range m.shared() {
		if s.Paths.Lack(share.Kind) != nil {
			without = append(without, string(share.Kind))
			continue
		}
		clients = append(clients, share)
	}
	return clients, without
}

// shared are the clients of all kinds: as the shares have it, but one of each at least, for which the most numerous kind has fewer.
func (m *Restarts) shared() fleet.Mix {
	mix := fleet.Of(m.Clients, m.N)
	for _, share := range m.Clients {
		if !slices.ContainsFunc(mix, func(s kinds.Share) bool { return s.Kind == share.Kind }) {
			most := slices.MaxFunc(mix, func(a, b kinds.Share) int { return cmp.Compare(a.N, b.N) })
			mix[slices.Index(mix, most)].N--
			mix = append(mix, kinds.Share{Kind: share.Kind, N: 1})
		}
	}
	return mix
}

func counted(clients fleet.Mix) map[string]int {
	n := make(map[string]int)
	for _, s := range clients {
		n[string(s.Kind)] = s.N
	}
	return n
}

// describe notes the servers in d, and returns those that can be measured.
func describe(d *report.Document, servers []Server) (able []Server, err error) {
	for i, s := range servers {
		if slices.ContainsFunc(servers[:i], func(other Server) bool { return other.Name == s.Name }) {
			return nil, fmt.Errorf("bench: two servers are called %q: each needs a name of its own", s.Name)
		}
		described := report.Server{Name: s.Name, Role: s.Role, About: s.About, Command: shown(s.Command), Signal: s.told()}
		if s.missing() {
			d.Skipped = append(d.Skipped, report.Omission{Server: s.Name, Reason: fmt.Sprintf("%s is not there: %s", s.Needs, s.Remedy)})
		} else {
			able = append(able, s)
			if s.Version != nil {
				described.Version = s.Version()
			}
		}
		d.Servers = append(d.Servers, described)
	}
	return able, nil
}

// Lacks are the kinds of clients that no server of m has a path for, for an error.
func (m *Restarts) Lacks() error {
	for _, share := range m.Clients {
		if !slices.ContainsFunc(m.Servers, func(s Server) bool { return s.Paths.Lack(share.Kind) == nil }) {
			return fmt.Errorf("no server has a path for %s clients: %w", share.Kind, m.Servers[0].Paths.Lack(share.Kind))
		}
	}
	if m.N < len(m.Clients) {
		return fmt.Errorf("%s cannot be of %s", prose.Plural(m.N, "client"), prose.Plural(len(m.Clients), "kind"))
	}
	return nil
}

// Able are the clients of kinds that some server of m has a path for.
func (m *Restarts) Able() (able kinds.Shares) {
	for _, share := range m.Clients {
		if slices.ContainsFunc(m.Servers, func(s Server) bool { return s.Paths.Lack(share.Kind) == nil }) {
			able = append(able, share)
		}
	}
	return able
}
