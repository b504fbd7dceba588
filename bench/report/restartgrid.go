package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"rstserver/internal/prose"
)

// restartRow is what one server's restarts have cost, beside the others.
type restartRow struct {
	server Server
	cell   Restarted
	all    []Restart // of all runs

	lost, requests    int // in the windows of the restarts
	quietLost         int // in those without
	gap, quietGap     Spread[time.Duration]
	gone, ready       Spread[time.Duration]
	took, quietTook   latency
	late, quietLate   Lateness // the worst
	before, most      Spread[int64]
	workers, ofServer float64 // share of a processor that they took without a restart
}

// restartRows are in the order of what was lost, ours first among those alike.
func (d *Document) restartRows() []restartRow {
	var rows []restartRow
	for _, c := range d.Restarted {
		r := restartRow{server: d.server(c.Server), cell: c}
		var gaps, quietGaps, gone, ready []time.Duration
		var before, most []int64
		var workers, server, quiet time.Duration
		for _, run := range c.Runs {
			r.all = append(r.all, run.Restarts...)
			workers, server, quiet = workers+run.Workers, server+run.Server, quiet+run.Quiet
		}
		for _, one := range r.all {
			r.lost += one.With.LostRequests()
			r.requests += one.With.Requests()
			r.quietLost += one.Without.LostRequests()
			gaps, quietGaps = appendTime(gaps, one.With.Gap), appendTime(quietGaps, one.Without.Gap)
			gone, ready = appendTime(gone, one.Gone), appendTime(ready, one.Ready)
			before, most = append(before, one.Resident), append(most, one.ResidentMost)
			r.took.add(one.With.Took)
			r.quietTook.add(one.Without.Took)
			r.late, r.quietLate = worse(r.late, one.With.Late), worse(r.quietLate, one.Without.Late)
		}
		n := len(r.all)
		r.gap, r.quietGap, r.gone, r.ready = spreadOf(gaps, n), spreadOf(quietGaps, n), spreadOf(gone, n), spreadOf(ready, n)
		r.before, r.most = spreadOf(before, n), spreadOf(most, n)
		if quiet > 0 {
			r.workers, r.ofServer = float64(workers)/float64(quiet), float64(server)/float64(quiet)
		}
		if n > 0 {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b restartRow) int {
		return cmp.Or(cmp.Compare(a.perRestart(), b.perRestart()), cmp.Compare(rank(a.server.Role), rank(b.server.Role)),
			cmp.Compare(a.cuts(), b.cuts()), bySpread(a.gap, b.gap))
	})
	return rows
}

func worse(a, b Lateness) Lateness { return Lateness{max(a.P99, b.P99), max(a.Most, b.Most)} }

func (r restartRow) perRestart() float64 { return float64(r.lost) / float64(len(r.all)) }

// cuts is the number of connections that have ended without notice, a restart.
func (r restartRow) cuts() float64 {
	n := 0
	for _, one := range r.all {
		n += one.With.CutConnections()
	}
	return float64(n) / float64(len(r.all))
}

// latency is how long requests took, and how many took that long.
type latency map[time.Duration]int

func (l *latency) add(took []Took) {
	if *l == nil {
		*l = make(latency)
	}
	for _, t := range took {
		(*l)[t.Took] += t.N
	}
}

// at is the time that such a share of the requests did not take longer than. It is negative if there were none.
func (l latency) at(share float64) time.Duration {
	total := 0
	for _, n := range l {
		total += n
	}
	sum := 0
	for _, took := range slices.Sorted(maps.Keys(l)) {
		if sum += l[took]; sum > int(share*float64(total)) || sum == total {
			return took
		}
	}
	return -1
}

// each is a number that was counted over all restarts, for one of them.
func (r restartRow) each(n int) string {
	v := float64(n) / float64(len(r.all))
	if v < 9.995 {
		return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	}
	return prose.Grouped(int64(v + 0.5))
}

// byHow are numbers by how, over all kinds of clients and all restarts, the greatest first.
func (r restartRow) byHow(of func(Restart) map[string]map[string]int) (hows []count) {
	n := make(map[string]int)
	for _, one := range r.all {
		for _, m := range of(one) {
			for how, k := range m {
				n[how] += k
			}
		}
	}
	for _, how := range slices.Sorted(maps.Keys(n)) {
		hows = append(hows, count{what: how, max: n[how]})
	}
	slices.SortStableFunc(hows, func(a, b count) int { return cmp.Compare(b.max, a.max) })
	return hows
}

func lostOf(r Restart) map[string]map[string]int { return r.With.Lost }
func cutOf(r Restart) map[string]map[string]int  { return r.With.Cut }

func (r restartRow) hows(of func(Restart) map[string]map[string]int) string {
	var parts []string
	for _, c := range r.byHow(of) {
		parts = append(parts, glued(r.each(c.max)+" "+c.what))
	}
	if len(parts) == 0 {
		return none
	}
	return strings.Join(parts, ", ")
}

// name is the server's, and how many restarts there were, if it were fewer than of others.
func (r restartRow) name(most int) string {
	if n := len(r.all); n < most {
		return prose.Printable(r.server.Name) + " (" + glued(prose.Plural(n, "restart")) + ")"
	}
	return prose.Printable(r.server.Name)
}

// restartTitle is what was done, in a few words.
func (d *Document) restartTitle(rows []restartRow) string {
	return prose.Plural(mostRestarts(rows), "restart") + " of each under load"
}

func mostRestarts(rows []restartRow) int {
	most := 0
	for _, r := range rows {
		most = max(most, len(r.all))
	}
	return most
}

// restartGrids are the tables of restarts; there are none if nothing was restarted.
func (d *Document) restartGrids(rows []restartRow) []grid {
	if len(rows) == 0 {
		return nil
	}
	cost := grid{
		Title: d.restartTitle(rows) + ": for each restart requests lost of how many, and ms; median (least–greatest)",
		Head:  []string{"server", "lost", "of", "how", "longest gap", "old process gone", "connections cut", "how"},
		Right: []bool{false, true, true, false, true, true, true, false},
	}
	times := grid{
		Title: "Requests of get and post clients, ms from when each was due: with a restart, and as long without",
		Head:  []string{"server", "p50", "p99", "p99.9", "most", "p50 without", "p99", "p99.9", "most", "gap without"},
		Right: []bool{false, true, true, true, true, true, true, true, true, true},
	}
	kinds := grid{
		Title: "Lost for each restart, by kind of client, and without one; – where there were none of it",
		Head:  []string{"server"},
		Right: []bool{false},
	}
	of := workKinds(rows)
	for _, k := range of {
		kinds.Head, kinds.Right = append(kinds.Head, k), append(kinds.Right, true)
	}
	kinds.Head, kinds.Right = append(kinds.Head, "without"), append(kinds.Right, true)
	processes := grid{
		Title: "The same restarts: answers of old and new processes, the first of a new one in ms, MiB of all processes",
		Head:  []string{"server", "how", "old", "new", "first answer", "before", "at most"},
		Right: []bool{false, false, true, true, true, true, true},
	}
	clients := grid{
		Title: "What the clients hide: processor time without a restart, % of one, and how late they were themselves, ms",
		Head:  []string{"server", "clients", "server", "late p99", "most", "without p99", "most"},
		Right: []bool{false, true, true, true, true, true, true},
	}
	streams := grid{
		Title: "Event streams for each restart: how they ended, and events that clients lost, or had again, when they came back, as IDs tell",
		Head:  []string{"server", "streams", "cut", "in order", "lost", "repeated", "not known"},
		Right: []bool{false, true, true, true, true, true, true},
	}
	paces := paceGrid()
	most := mostRestarts(rows)
	for _, r := range rows {
		add := func(g *grid, cells ...string) {
			g.Lines = append(g.Lines, line{r.server.Role, append([]string{r.name(most)}, cells...)})
		}
		add(&cost, r.each(r.lost), r.each(r.requests), r.hows(lostOf), spreadText(r.gap, prose.Milliseconds, none), r.goneText(d), r.each(total(r.all, Traffic.CutConnections)), r.hows(cutOf))
		cells := []string{}
		for _, l := range []latency{r.took, r.quietTook} {
			for _, share := range []float64{0.5, 0.99, 0.999, 1} {
				cells = append(cells, timeText(l.at(share)))
			}
		}
		add(&times, append(cells, spreadText(r.quietGap, prose.Milliseconds, none))...)
		cells = nil
		for _, k := range of {
			if r.cell.Clients[k] == 0 {
				cells = append(cells, none)
				continue
			}
			n := 0
			for _, one := range r.all {
				n += sum(map[string]map[string]int{k: one.With.Lost[k]})
			}
			cells = append(cells, r.each(n))
		}
		add(&kinds, append(cells, r.each(r.quietLost))...)
		old, now := none, none
		if o, n := total(r.all, func(t Traffic) int { return t.Old }), total(r.all, func(t Traffic) int { return t.New }); o+n > 0 {
			old, now = r.each(o), r.each(n)
		}
		add(&processes, prose.Printable(r.server.Signal), old, now, spreadText(r.ready, prose.Milliseconds, none), spreadText(r.before, prose.MiB, none), spreadText(r.most, prose.MiB, none))
		if n := r.cell.Clients["sse"]; n > 0 {
			ends, events := r.streams()
			lost, repeated := r.each(events.Lost), r.each(events.Repeated)
			if events.Unknown == ends["reset"]+ends["closed"]+ends["ended"] && events.Unknown > 0 {
				lost = none
			}
			add(&streams, prose.Grouped(n), r.each(ends["reset"]+ends["closed"]), r.each(ends["ended"]), lost, repeated, r.each(events.Unknown))
		}
		var steps [][]Step
		for _, one := range r.all {
			steps = append(steps, one.steps())
		}
		if cells := paceCells(steps); cells != nil {
			add(&paces, cells...)
		}
		add(&clients, percent(r.workers), percent(r.ofServer), prose.Milliseconds(r.late.P99), prose.Milliseconds(r.late.Most), prose.Milliseconds(r.quietLate.P99), prose.Milliseconds(r.quietLate.Most))
	}
	grids := []grid{cost, times, kinds, processes}
	if len(streams.Lines) > 0 {
		grids = append(grids, streams)
	}
	if len(paces.Lines) > 0 {
		grids = append(grids, paces)
	}
	return append(grids, clients)
}

// streams is how often event streams have ended in which way, and what their clients have heard, over all restarts.
func (r restartRow) streams() (ends map[string]int, events Events) {
	ends = make(map[string]int)
	for _, one := range r.all {
		for how, n := range one.With.Cut["sse"] {
			ends[how] += n
		}
		e := one.With.Events
		events = Events{events.Came + e.Came, events.Lost + e.Lost, events.Repeated + e.Repeated, events.Unknown + e.Unknown}
	}
	return ends, events
}

func percent(share float64) string { return prose.Significant(100 * share) }

func timeText(d time.Duration) string {
	if d < 0 {
		return none
	}
	return prose.Milliseconds(d)
}

func total(all []Restart, of func(Traffic) int) int {
	n := 0
	for _, r := range all {
		n += of(r.With)
	}
	return n
}

// goneText is when the old process was gone, or that there was none to go.
func (r restartRow) goneText(d *Document) string {
	if !slices.ContainsFunc(r.all, func(one Restart) bool { return !one.InPlace }) {
		return "same process"
	}
	return spreadText(r.gone, prose.Milliseconds, notIn(d.Settings.Timeout))
}

// workKinds are the kinds of clients that some server had, in the order in which they are explained.
func workKinds(rows []restartRow) []string {
	known := []string{"get", "post", "in-flight", "upload", "idle", "websocket", "sse"}
	var kinds []string
	for _, r := range rows {
		for k := range r.cell.Clients {
			if !slices.Contains(known, k) {
				known = append(known, k)
			}
		}
	}
	for _, k := range known {
		if slices.ContainsFunc(rows, func(r restartRow) bool { return r.cell.Clients[k] > 0 }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// restartStory is what came of the restarts: the verdict first.
func (d *Document) restartStory(rows []restartRow) []story {
	if len(rows) == 0 {
		return nil
	}
	s := story{Title: d.restartTitle(rows) + ", " + d.loadText()}
	byRole := slices.Clone(rows)
	slices.SortStableFunc(byRole, func(a, b restartRow) int { return cmp.Compare(rank(a.server.Role), rank(b.server.Role)) })
	list := func(name string, of func(restartRow) string) {
		var items []string
		for _, r := range byRole {
			if text := of(r); text != "" {
				items = append(items, held(r.server.Name)+nbsp+glued(text))
			}
		}
		s.add(name, items)
	}
	list("lost", func(r restartRow) string { return r.each(r.lost) })
	list("longest gap", func(r restartRow) string {
		if !r.gap.Settled() {
			return ""
		}
		return prose.Milliseconds(r.gap.Median) + " ms"
	})
	list("cut", func(r restartRow) string { return r.each(total(r.all, Traffic.CutConnections)) })
	return []story{s}
}

// loadText is what the clients did.
func (d *Document) loadText() string {
	if d.Settings.N == 0 {
		return "for each restart"
	}
	return fmt.Sprintf("for each restart, of %s at %s requests a second", prose.Plural(d.Settings.N, "client"), prose.Grouped(int(d.Settings.Rate)))
}

// overloaded is a median that a server does not have which keeps up.
const overloaded = 100 * time.Millisecond

// restartWarnings are what the figures themselves warn of.
func (d *Document) restartWarnings(rows []restartRow) []string {
	var warnings, late, slow []string
	without := make(map[string][]string) // names of servers by what they were measured without
	for _, r := range rows {
		name := prose.Printable(r.server.Name)
		if r.quietLost > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: lost %s in the windows without a restart, so not all that was lost with one is the restart's",
				name, prose.Plural(r.quietLost, "request")))
		}
		if r.gap.Settled() && r.late.Most > r.gap.Median && r.late.Most > 20*time.Millisecond {
			late = append(late, fmt.Sprintf("%s (%s"+nbsp+"ms)", name, prose.Milliseconds(r.late.Most)))
		}
		if r.quietTook.at(0.5) > overloaded {
			slow = append(slow, name)
		}
		if len(r.cell.Without) > 0 {
			lacks := prose.Enumerate(r.cell.Without)
			without[lacks] = append(without[lacks], name)
		}
	}
	if len(late) > 0 {
		warnings = append(warnings, "the clients were late themselves, by more than the longest gap in the middle, with "+prose.Enumerate(late)+
			"; use a quieter machine, or a smaller --rate")
	}
	if len(slow) > 0 {
		warnings = append(warnings, "half of the requests took longer than "+glued(prose.Span(overloaded))+" without a restart, so what cannot keep up is "+
			prose.Enumerate(slow)+"; use a smaller --rate")
	}
	for _, lacks := range slices.Sorted(maps.Keys(without)) {
		warnings = append(warnings, "measured without "+lacks+" clients, for which there is no path: "+prose.Enumerate(without[lacks]))
	}
	return warnings
}
