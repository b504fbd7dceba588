package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// Memory is given back once, when what was in use is not any more, and not before.
func TestGiveBack(t *testing.T) {
	var rep linger.Report
	frees := 0
	g := newGiveBack(func() linger.Report { return rep })
	g.free, g.limits = func() { frees++ }, false
	g.look()
	rep.Memory.Buffered = 100 << 20
	for range 5 {
		g.look()
	}
	before := frees // the test's own memory may have grown
	rep.Memory.Buffered = 50 << 20
	g.look() // it still falls
	if frees != before {
		t.Error("memory is given back while it is being given up")
	}
	rep.Memory.Buffered = 0
	for range 2 * giveBackRest {
		g.look()
	}
	if frees <= before {
		t.Error("memory that was given up is not given back")
	}
}

// The limit of the heap leaves room for what is bounded, twice, and for what is not.
func TestMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	g := newGiveBack(nil)
	g.limits = true
	g.bound(0, 0)
	if g.limit != 0 {
		t.Errorf("without a bound the limit is %d", g.limit)
	}
	g.bound(100<<20, 10<<20)
	if got, want := debug.SetMemoryLimit(-1), int64(220<<20+itself); got != want {
		t.Errorf("the limit is %d, want %d", got, want)
	}
	g.limits = false
	g.bound(500<<20, 0)
	if debug.SetMemoryLimit(-1) != g.limit {
		t.Error("the user's limit is changed")
	}
}

// What stalled uploads have taken is given back when they are gone.
func TestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-buffered", "64MiB")
	dial(t, p.addr).expectHello()
	before, most := p.resident(t), 16<<20
	if raceEnabled && !testing.Short() {
		most = 64 << 20 // what the race detector remembers of memory is not given back with it
	}
	var uploads []*client
	for range 6 {
		c := dial(t, p.addr)
		c.send("%s%s", head("POST", "/echo", "Content-Length: 5000000"), strings.Repeat("a", 4_999_999))
		uploads = append(uploads, c)
	}
	lingertest.Wait(t, "they are buffered", func() bool { return p.resident(t) > before+20<<20 })
	for _, c := range uploads {
		c.Close()
	}
	lingertest.Wait(t, "memory is given back", func() bool { return p.resident(t) < before+most })
}

// resident is the process's resident memory in bytes.
func (p *process) resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
