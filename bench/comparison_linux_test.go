//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func nameAndNumber(name string, n int) string { return fmt.Sprintf("%s %d", name, n) }

type errorString string

func (e errorString) Error() string { return string(e) }

func expectTally(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// overdueAtOnce is for a server that is known not to end.
func overdueAtOnce(*process.Family) <-chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}

// A comparison has a cell for whoever could be measured, and says of everybody else why not.
func TestComparison(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	missing := peer("nginx")
	missing.Needs, missing.Remedy = filepath.Join(t.TempDir(), "nginx"), "make peers"
	simple := faulty("fin")
	simple.Paths = kinds.Paths{Get: "/"}
	stubborn := faulty("stubborn")
	stubborn.overdue = overdueAtOnce
	c := &Comparison{
		Servers: []Server{faulty("none"), simple, faulty("absent"), missing, stubborn, faulty("404")},
		N:       []int{40, 20},
		Shares:  []kinds.Shares{shares("idle"), shares("fresh=3,stuck=1")},
		Runs:    2, Timeout: patience,
	}
	var order []string
	last := Progress{}
	c.Progress = func(p Progress) {
		if p.Done != last.Done || p.Of != last.Of {
			last = Progress{}
		}
		if p.Opened < last.Opened {
			t.Errorf("%s: %d are open behind %d", p.Server, p.Opened, last.Opened)
		}
		last = p
		if len(order) <= p.Done {
			order = append(order, nameAndNumber(p.Server, p.N))
		}
		if p.Of != 2*2*(5+4) {
			t.Errorf("%d runs are to come to %d", p.Done, p.Of)
		}
	}
	d := compare(t, c)
	for _, n := range []int{40, 20} {
		expectCell(t, d, "faulty none", n, 1, map[string]int{"reset": n}, sockdiag.Counts{})
		expectCell(t, d, "faulty fin", n, 1, map[string]int{"eof": n}, sockdiag.Counts{sockdiag.TimeWait: n})
	}
	const mixed = "75 % fresh, 25 % stuck"
	var cells []string
	for _, cell := range d.Cells {
		cells = append(cells, nameAndNumber(cell.Server, cell.N)+" "+cell.Mix)
		if cell.Mix == mixed && cell.Server == "faulty none" {
			expectTally(t, "fresh", cell.Runs[0].ByKind["fresh"], map[string]int{"reset": cell.N * 3 / 4})
			expectTally(t, "stuck", cell.Runs[0].ByKind["stuck"], map[string]int{"reset": cell.N / 4})
		}
	}
	if want := []string{
		"faulty none 40 idle", "faulty fin 40 idle", "faulty stubborn 40 idle", "faulty none 20 idle", "faulty fin 20 idle", "faulty stubborn 20 idle",
		"faulty none 40 " + mixed, "faulty stubborn 40 " + mixed, "faulty 404 40 " + mixed, "faulty none 20 " + mixed, "faulty stubborn 20 " + mixed, "faulty 404 20 " + mixed,
	}; !slices.Equal(cells, want) {
		t.Errorf("cells:\n%s\nwant\n%s", strings.Join(cells, "\n"), strings.Join(want, "\n"))
	}
	if got := omitted(d.Skipped); !slices.Equal(got, []string{"nginx 0", "faulty fin 40", "faulty fin 20"}) {
		t.Errorf("skipped: %q", got)
	}
	expectReason(t, d.Skipped, "nginx", "nginx is not there: make peers")
	expectReason(t, d.Skipped, "faulty fin", "it has no path for stuck connections; a server is given one with late=PATH")
	// One that does not start is not tried again, one that fails otherwise is with other connections.
	if got, want := omitted(d.Failed), []string{
		"faulty absent 0", "faulty stubborn 40", "faulty 404 40", "faulty stubborn 20", "faulty 404 20", "faulty stubborn 40", "faulty 404 40", "faulty stubborn 20", "faulty 404 20",
	}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("failed: %q, want %q", got, want)
	}
	expectReason(t, d.Failed, "faulty absent", "no configuration")
	for _, o := range d.Failed {
		if o.Server == "faulty 404" && o.Mix == mixed && !strings.Contains(o.Reason, "it answered requests that were to take longer than the run") {
			t.Errorf("%s: %s", o.Server, o.Reason)
		}
	}
	expectReason(t, d.Failed, "faulty stubborn", "still runs 1m0s after SIGTERM")
	// The servers take turns, and each round begins with the next.
	if want := []string{"faulty none 40", "faulty fin 40", "faulty absent 40", "faulty stubborn 40", "faulty 404 40", "faulty fin 40"}; !slices.Equal(order[:len(want)], want) {
		t.Errorf("order: %q, want %q first", order, want)
	}
	if len(d.Servers) != len(c.Servers) || d.Servers[0].Signal != "SIGTERM" || d.Took <= 0 || d.Interrupted || len(d.Warnings) > 0 {
		t.Errorf("%d servers, the first by %q, took %s, interrupted: %v, warnings: %q", len(d.Servers), d.Servers[0].Signal, d.Took, d.Interrupted, d.Warnings)
	}
	if want := (report.Settings{Runs: 2, Timeout: c.Timeout, Late: DefaultLate, Probe: kernel.ProbeInterval}); d.Settings != want {
		t.Errorf("settings: %+v, want %+v", d.Settings, want)
	}
	lingertest.ExpectNoChildren(t)
}

// What was measured when ctx ends is there.
func TestComparisonInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	cut := errors.New("cut short")
	c := &Comparison{Servers: []Server{faulty("none")}, N: []int{10}, Shares: []kinds.Shares{shares("idle")}, Runs: 5, Timeout: patience}
	c.Progress = func(p Progress) {
		if p.Round == 3 && p.Opened > 0 {
			cancel(cut)
		}
	}
	d, err := c.Measure(ctx)
	if err != cut {
		t.Errorf("got %v, want %v", err, cut)
	}
	if !d.Interrupted || len(d.Cells) != 1 || len(d.Cells[0].Runs) != 2 || len(d.Failed) > 0 {
		t.Errorf("interrupted: %v, cells: %+v, failed: %v; want two runs", d.Interrupted, d.Cells, d.Failed)
	}
}

func TestComparisonNames(t *testing.T) {
	c := &Comparison{Servers: []Server{faulty("none"), faulty("fin"), faulty("none")}}
	_, err := c.Measure(t.Context())
	lingertest.ExpectError(t, err, `two servers are called "faulty none"`)
}

// Where the kernel keeps fewer TIME_WAIT than are due, what is left is no measure, and the report says so.
func TestOverflow(t *testing.T) {
	const kept = 10
	if !elsewhere(t, func() error { return lingertest.Network(map[string]string{"tcp_max_tw_buckets": fmt.Sprint(kept)}) }) {
		return
	}
	const n = 100
	c := &Comparison{Servers: []Server{faulty("fin")}, N: []int{n}, Shares: []kinds.Shares{shares("idle")}, Runs: 1, Timeout: patience}
	d := compare(t, c)
	if len(d.Cells) != 1 {
		t.Fatalf("failed: %v", d.Failed)
	}
	run := d.Cells[0].Runs[0]
	left, ended := run.Left[0].States[sockdiag.TimeWait], int(run.Kernel[kernel.Overflow])
	if ended == 0 || left+ended != n {
		t.Errorf("%d TIME_WAIT are left, and %d were ended before their time; want %d in all", left, ended, n)
	}
	want := fmt.Sprintf("faulty fin, %d idle, run 1: %d connections were ended without the TIME_WAIT that was due", n, ended)
	if len(d.Warnings) != 1 || !strings.HasPrefix(d.Warnings[0], want) || !strings.Contains(d.Warnings[0], "net.ipv4.tcp_max_tw_buckets") {
		t.Errorf("warnings: %q, want one that begins with %q", d.Warnings, want)
	}
}

// A client that was told nothing, since what was to tell it found no room on its way, is the machine's affair and not the server's.
func TestDroppedResets(t *testing.T) {
	m := measuring{Comparison: &Comparison{}, d: &report.Document{}}
	f := field{n: 100, mix: "idle"}
	m.warn(ours(), f, report.Run{Round: 1, Endings: map[string]int{"reset": 100}, Kernel: map[string]int64{kernel.Dropped: 7}})
	if len(m.d.Warnings) > 0 {
		t.Errorf("warnings: %q, want none where all were told", m.d.Warnings)
	}
	m.warn(ours(), f, report.Run{Round: 2, Endings: map[string]int{"reset": 98, "untold": 2}, Kernel: map[string]int64{kernel.Dropped: 7}})
	want := "rstserver, 100 idle, run 2: 2 of its clients were told nothing, and the machine dropped 7 segments"
	if len(m.d.Warnings) != 1 || !strings.HasPrefix(m.d.Warnings[0], want) || !strings.Contains(m.d.Warnings[0], "net.core.netdev_max_backlog") {
		t.Errorf("warnings: %q, want one that begins with %q", m.d.Warnings, want)
	}
}
