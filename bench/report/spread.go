package report

import (
	"slices"
	"time"
)

// Spread is one figure over the runs of a [Cell]. A run in which the figure did not come counts like one in which it took longer
// than in all others: the median is that of all runs, and only Min and Max are of those that have the figure.
type Spread[T ~int64] struct {
	Median, Min, Max T   // Median means nothing unless Settled, Min and Max nothing if N is 0
	N                int // runs that have the figure
	Of               int // all runs
}

// Settled reports whether there is a median: more than half of the runs have the figure.
func (s Spread[T]) Settled() bool { return 2*s.N > s.Of }

// spreadOf is the Spread of what was measured in so many runs. With an even number of runs the median is the mean of the two
// in the middle.
func spreadOf[T ~int64](measured []T, of int) Spread[T] {
	s := Spread[T]{N: len(measured), Of: of}
	if s.N == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(measured))
	s.Min, s.Max = sorted[0], sorted[s.N-1]
	if s.Settled() {
		low, high := sorted[(of-1)/2], sorted[of/2]
		s.Median = low + (high-low)/2
	}
	return s
}

// Figures are the figures of a [Cell] over its runs. Times count from the signal.
type Figures struct {
	Refused, Told, Free, Gone Spread[time.Duration]
	Wire                      Spread[time.Duration] // the last end, over the runs that were for that
	CPU                       Spread[time.Duration] // a run without any processor time counts as one without the figure
	TakenIn                   Spread[time.Duration] // likewise
	Holding                   Spread[time.Duration] // for each second; of a run that has held its connections
	User, System, SoftIRQ     Spread[time.Duration] // likewise, and so does one that was measured before these were
	Resident                  Spread[int64]         // bytes; likewise
	Grown                     Spread[int64]         // bytes by the connection; likewise
	Anonymous, Clients        Spread[int64]
	Kernel, Queues            Spread[int64]
	Open, Pair                Spread[time.Duration] // that opening took; likewise
}

// Figures computes the figures of c.
func (c Cell) Figures() Figures {
	var refused, told, free, gone, cpu, user, system, softIRQ, takenIn, holding, open, pair []time.Duration
	var resident, grown, anonymous, clients, kernel, queues []int64
	for _, r := range c.Runs {
		refused = appendMoment(refused, r.Refused)
		told = appendTime(told, r.Told)
		free = appendMoment(free, r.Free)
		gone = appendTime(gone, r.Gone)
		if r.CPU > 0 {
			cpu = append(cpu, r.CPU)
		}
		if r.Clients > 0 { // otherwise it was measured before these were
			if r.CPU > 0 {
				user, system, softIRQ = append(user, r.User), append(system, r.CPU-r.User), append(softIRQ, r.SoftIRQ)
			}
			anonymous, clients = append(anonymous, r.Anonymous), append(clients, r.Clients)
			kernel, queues = append(kernel, r.KernelMemory), append(queues, r.Queues)
		}
		if r.Open > 0 {
			open = append(open, r.Open)
		}
		if r.TakenIn > 0 {
			takenIn = append(takenIn, r.TakenIn)
		}
		if r.Held > 0 {
			holding = append(holding, time.Duration(float64(r.Holding)/r.Held.Seconds()))
		}
		if r.Pair > 0 {
			pair = append(pair, r.Pair)
		}
		if r.Resident > 0 {
			resident = append(resident, r.Resident)
		}
		if r.Grown > 0 {
			grown = append(grown, r.Grown/int64(max(c.N, 1)))
		}
	}
	var wire []time.Duration
	for _, r := range c.Wired {
		wire = appendTime(wire, r.lastEnd())
	}
	of := len(c.Runs)
	return Figures{
		Wire:    spreadOf(wire, len(c.Wired)),
		Refused: spreadOf(refused, of), Told: spreadOf(told, of), Free: spreadOf(free, of), Gone: spreadOf(gone, of),
		CPU: spreadOf(cpu, of), User: spreadOf(user, of), System: spreadOf(system, of), SoftIRQ: spreadOf(softIRQ, of),
		TakenIn: spreadOf(takenIn, of), Holding: spreadOf(holding, of), Anonymous: spreadOf(anonymous, of), Clients: spreadOf(clients, of), Kernel: spreadOf(kernel, of), Queues: spreadOf(queues, of),
		Resident: spreadOf(resident, of), Grown: spreadOf(grown, of), Open: spreadOf(open, of), Pair: spreadOf(pair, of),
	}
}

func appendTime(list []time.Duration, d *time.Duration) []time.Duration {
	if d == nil {
		return list
	}
	return append(list, *d)
}

// appendMoment takes the time at which it was seen, so that no figure is better than what was measured.
func appendMoment(list []time.Duration, m *Moment) []time.Duration {
	if m == nil {
		return list
	}
	return append(list, m.At)
}

// scattered reports whether the runs of a cell differ too much for the median to be trusted: it took half as long again in the
// upper quartile as in the lower one, and the two lie further apart than the probe can tell times apart. The quartiles leave
// out the single run that something else on the machine disturbed, which greatest and least would not. The factor is a guess.
func scattered(measured []time.Duration, resolution time.Duration) bool {
	if len(measured) < 2 {
		return false
	}
	sorted := slices.Sorted(slices.Values(measured))
	lower, upper := quantile(sorted, 1), quantile(sorted, 3)
	return 2*upper > 3*lower && upper-lower > 2*resolution
}

// quantile is a quarter of the way through sorted, or two or three quarters, between two values where it lies between them.
func quantile(sorted []time.Duration, quarters int) time.Duration {
	steps := (len(sorted) - 1) * quarters
	i, rest := steps/4, time.Duration(steps%4)
	if rest == 0 {
		return sorted[i]
	}
	return sorted[i] + (sorted[i+1]-sorted[i])*rest/4
}
