package restartload

import (
	"fmt"
	"slices"
	"time"
)

// Window is a part of the time of a load.
type Window struct{ From, To time.Duration }

// Latency is that of the requests that began in windows.
type Latency struct {
	Requests                int
	Median, P99, P999, Most time.Duration
}

// LatencyOf is the latency of those answers whose requests began in one of the windows.
func LatencyOf(answers []Answer, windows []Window) Latency {
	var took []time.Duration
	for _, a := range answers {
		if slices.ContainsFunc(windows, func(w Window) bool { return a.Began >= w.From && a.Began < w.To }) {
			took = append(took, a.Took)
		}
	}
	slices.Sort(took)
	at := func(share float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[min(int(share*float64(len(took))), len(took)-1)]
	}
	return Latency{len(took), at(0.5), at(0.99), at(0.999), at(1)}
}

func (l Latency) String() string {
	return fmt.Sprintf("%d requests, median %s, p99 %s, p99.9 %s, most %s", l.Requests, round(l.Median), round(l.P99), round(l.P999), round(l.Most))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
