//go:build linux

package bench

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/restartload"
)

// fill puts what the clients have seen into the report.
func (r *restartRun) fill(rep *report.RestartRun, result restartload.Result) {
	answers := slices.SortedFunc(slices.Values(result.Answers), func(a, b restartload.Answer) int { return cmp.Compare(a.At(), b.At()) })
	counted := make(map[restartload.Lost]bool) // without their errors; of a restart: one that takes longer than the window is not the next one's, too
	for _, s := range r.spans {
		known := make(map[string]bool) // processes that have answered before
		for _, a := range answers {
			if a.At() < s.began && a.Process != "" {
				known[a.Process] = true
			}
		}
		isNew := func(a restartload.Answer) bool { return len(known) > 0 && a.Process != "" && !known[a.Process] }
		s.restart.Window = s.ended - s.began
		seen := sighting{answers, result, isNew, r.Clients}
		s.restart.With = seen.traffic(s.began, s.ended, func(l restartload.Lost) bool {
			l.Err = nil
			mine := l.Began < s.ended && l.At >= s.began && !counted[l]
			if mine {
				counted[l] = true
			}
			return mine
		})
		s.restart.Without = seen.traffic(s.ended, s.quiet, func(l restartload.Lost) bool { return l.Began >= s.ended && l.At < s.quiet })
		s.restart.With.Late, s.restart.Without.Late = r.pulse.lateness(s.began, s.ended), r.pulse.lateness(s.ended, s.quiet)
		s.restart.Timeline = seen.timeline(s.began, s.ended)
		if i := slices.IndexFunc(answers, func(a restartload.Answer) bool { return a.At() >= s.began && isNew(a) }); i >= 0 {
			ready := answers[i].At() - s.began
			s.restart.Ready = &ready
		}
		rep.Restarts = append(rep.Restarts, s.restart)
		rep.Quiet += s.quiet - s.ended
		rep.Server += s.server
		rep.Workers += s.workers
	}
}

// sighting is all that the clients have seen, the answers in the order in which they came.
type sighting struct {
	answers []restartload.Answer
	result  restartload.Result
	isNew   func(restartload.Answer) bool
	clients fleet.Mix
}

// timely reports whether the client has requests at all times, so that a time without an answer means something.
func timely(k restartload.Kind) bool { return k == restartload.New || k == restartload.Kept }

// traffic is what came in a window. lost reports whether a request that was lost belongs to it: to that of a restart, if it was under way
// then, and to none otherwise unless all of it was within.
func (s sighting) traffic(from, to time.Duration, lost func(restartload.Lost) bool) report.Traffic {
	t := report.Traffic{Answers: make(map[string]int), Lost: make(map[string]map[string]int), Cut: make(map[string]map[string]int), Processes: make(map[string]int)}
	took := make(map[time.Duration]int)
	last, gap := from, time.Duration(0)
	for _, a := range s.answers {
		at := a.At()
		if timely(a.Kind) && a.Began >= from && a.Began < to {
			took[rounded(a.Took)]++
		}
		if timely(a.Kind) && at >= from && last < to {
			gap = max(gap, min(at, to)-last)
			last = at
		}
		if at < from || at >= to {
			continue
		}
		t.Answers[string(a.Kind)]++
		if a.Process != "" {
			t.Processes[a.Process]++
		}
		switch {
		case s.isNew(a):
			t.New++
		case a.Process != "":
			t.Old++
		}
	}
	if last < to {
		gap = max(gap, to-last)
	}
	if to > from && slices.ContainsFunc(s.clients, func(c kinds.Share) bool { return timely(restartload.Kind(c.Kind)) }) {
		t.Gap = &gap
	}
	for _, l := range s.result.Lost {
		if lost(l) {
			count(t.Lost, string(l.Kind), string(l.Loss))
		}
	}
	for _, c := range s.result.Cuts {
		if c.At >= from && c.At < to {
			count(t.Cut, string(c.Kind), c.How)
		}
	}
	for _, e := range s.result.Events {
		if e.At < from || e.At >= to {
			continue
		}
		t.Events.Came++
		t.Events.Lost += e.Missed
		if e.Repeated {
			t.Events.Repeated++
		}
		if e.Unknown {
			t.Events.Unknown++
		}
	}
	for _, d := range slices.Sorted(maps.Keys(took)) {
		t.Took = append(t.Took, report.Took{Took: d, N: took[d]})
	}
	return t
}

func count(in map[string]map[string]int, kind, how string) {
	if in[kind] == nil {
		in[kind] = make(map[string]int)
	}
	in[kind][how]++
}

// rounded is d to three digits, upwards.
func rounded(d time.Duration) time.Duration {
	if d < 1000 {
		return d
	}
	unit := time.Duration(math.Pow10(int(math.Log10(float64(d))) - 2))
	return (d + unit - 1) / unit * unit
}

// timeline is what came around a restart.
func (s sighting) timeline(began, ended time.Duration) []report.Tick {
	const length, before = report.TickLength, report.BeforeTimeline
	ticks := make(map[int]*report.Tick)
	tick := func(at time.Duration) *report.Tick {
		if at < began-before || at >= ended {
			return nil
		}
		i := int((at - began + before) / length)
		if ticks[i] == nil {
			ticks[i] = &report.Tick{At: time.Duration(i)*length - before}
		}
		return ticks[i]
	}
	for _, a := range s.answers {
		switch t := tick(a.At()); {
		case t == nil:
		case s.isNew(a):
			t.New++
		default:
			t.Old++
		}
	}
	for _, l := range s.result.Lost {
		if t := tick(l.At); t != nil {
			t.Lost++
		}
	}
	for _, c := range s.result.Cuts {
		if t := tick(c.At); t != nil {
			t.Ended++
		}
	}
	var line []report.Tick
	for _, i := range slices.Sorted(maps.Keys(ticks)) {
		line = append(line, *ticks[i])
	}
	return line
}
