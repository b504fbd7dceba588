//go:build linux

package bench

import (
	"slices"
	"time"

	"rstserver/bench/report"
	"rstserver/internal/restartload"
)

// pulse looks how late this process is to do what is due: as late as that may be its clients too, whatever the server does.
type pulse struct {
	end, ended chan struct{}
	beats      []beat
}

// beat was due at a time of the load, and came so late.
type beat struct{ at, late time.Duration }

const pulseInterval = time.Millisecond

func startPulse(l *restartload.Load) *pulse {
	p := &pulse{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for {
			select {
			case <-p.end:
				return
			default:
			}
			due := l.Since() + pulseInterval
			time.Sleep(pulseInterval)
			p.beats = append(p.beats, beat{due, max(l.Since()-due, 0)})
		}
	}()
	return p
}

// stop ends it; again, it does nothing.
func (p *pulse) stop() {
	select {
	case <-p.end:
	default:
		close(p.end)
	}
	<-p.ended
}

// lateness is that of the beats that were due within a window. It is called once the pulse has been stopped.
func (p *pulse) lateness(from, to time.Duration) (l report.Lateness) {
	var late []time.Duration
	for _, b := range p.beats {
		if b.at >= from && b.at < to {
			late = append(late, b.late)
		}
	}
	if len(late) == 0 {
		return l
	}
	slices.Sort(late)
	return report.Lateness{P99: late[min(len(late)*99/100, len(late)-1)], Most: late[len(late)-1]}
}
