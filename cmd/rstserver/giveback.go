package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"rstserver/linger"
)

// Go gives memory back to the system little by little, and collects garbage every two minutes when nothing is allocated. So what an attack
// has taken stays taken for minutes. giveBack gives it back when most of what was in use is not any more, and nothing much goes on.
type giveBack struct {
	report  func() linger.Report
	free    func() // is debug.FreeOSMemory
	samples []metrics.Sample

	mapped, peak, before, allocated int64 // bytes: after the last time, in use at most since then, in use and allocated one look before
	rest                            int   // looks until the next time

	limits bool  // what GOMEMLIMIT says is not the user's
	limit  int64 // as it was set last
}

const (
	giveBackInterval = 2 * time.Second // between two looks
	giveBackRest     = 2               // looks, as it costs a run of the garbage collector
	worthGivingBack  = 4 << 20         // bytes
	quietAllocation  = 4 << 20         // bytes between two looks
	itself           = 32 << 20        // bytes, without connections
	// What is in use is estimated: buffers are counted, connections and goroutines take so many bytes each.
	bytesPerConn, bytesPerGoroutine = 2 << 10, 12 << 10
)

func newGiveBack(report func() linger.Report) *giveBack {
	g := &giveBack{report: report, free: debug.FreeOSMemory, limits: os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") != "off"}
	for _, name := range []string{
		"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/gc/heap/allocs:bytes", "/sched/goroutines:goroutines",
	} {
		g.samples = append(g.samples, metrics.Sample{Name: name})
	}
	return g
}

// run looks from time to time, until ctx ends.
func (g *giveBack) run(ctx context.Context) {
	g.look()
	ticker := time.NewTicker(giveBackInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.look()
		case <-ctx.Done():
			return
		}
	}
}

func (g *giveBack) look() {
	mapped, allocated, goroutines := g.read()
	rep := g.report()
	inUse := rep.Memory.Buffered + int64(rep.Connections.Total())*bytesPerConn + goroutines*bytesPerGoroutine
	g.bound(rep.Memory.Bound, inUse-rep.Memory.Buffered)
	quiet := allocated-g.allocated < quietAllocation
	steady := max(inUse-g.before, g.before-inUse) < worthGivingBack/4
	g.before, g.allocated, g.peak = inUse, allocated, max(g.peak, inUse)
	if g.mapped == 0 || mapped < g.mapped {
		g.mapped = mapped
	}
	if g.rest--; g.rest >= 0 {
		return
	}
	if g.peak-inUse > worthGivingBack && steady || mapped-g.mapped > 2*worthGivingBack && quiet {
		g.free()
		g.mapped, g.allocated, _ = g.read()
		g.peak, g.rest = inUse, giveBackRest
	}
}

// bound makes the garbage collector run often enough for the process to stay within twice the bound of what is buffered, with what it takes
// itself, unless the user has said what it is to do. A heap would grow to twice what is in use, buffered or not.
func (g *giveBack) bound(buffered, beside int64) {
	if !g.limits || buffered == 0 || buffered > math.MaxInt64/4 {
		return
	}
	limit := 2*buffered + itself + 2*beside
	if limit > g.limit || limit < g.limit-g.limit/8 {
		debug.SetMemoryLimit(limit)
		g.limit = limit
	}
}

// read returns how many bytes the process has mapped, and how many it has allocated since it began.
func (g *giveBack) read() (mapped, allocated, goroutines int64) {
	metrics.Read(g.samples)
	value := func(i int) int64 { return int64(g.samples[i].Value.Uint64()) }
	return value(0) - value(1), value(2), value(3)
}
