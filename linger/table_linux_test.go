//go:build linux

package linger

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// TestTable goes through the states of a slot. The socket is one that is not connected: to abort it succeeds.
func TestTable(t *testing.T) {
	const owner, stranger = 7, 8
	type step struct {
		call string // of those below
		want string
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"never opened", []step{{"close", "false"}, {"abort", "false"}, {"abort owned", "none"}, {"live", "none"}, {"idle", ""}, {"live", "none"}}},
		{"open and close", []step{{"open", "ok"}, {"live", "new 1"}, {"close", "false"}, {"live", "none"}}},
		{"close twice", []step{{"open", "ok"}, {"close", "false"}, {"close", "false"}}},
		{"open again after close", []step{{"open", "ok"}, {"close", "false"}, {"open", "ok"}, {"live", "new 1"}}},
		{"open twice", []step{{"open", "ok"}, {"idle", ""}, {"open", "already"}, {"live", "idle 1"}, {"abort owned", "idle 1"}}},
		{"open twice by different owners", []step{{"open", "ok"}, {"open stranger", "already"},
			{"abort stranger's", "none"}, {"abort owned", "new 1"}}},
		{"abort", []step{{"open", "ok"}, {"abort", "true"}, {"live", "none"}, {"close", "true"}, {"live", "none"}}},
		{"abort twice", []step{{"open", "ok"}, {"abort", "true"}, {"abort", "false"}, {"abort owned", "none"}, {"close", "true"}}},
		{"abort after close", []step{{"open", "ok"}, {"close", "false"}, {"abort", "false"}, {"abort owned", "none"}}},
		{"close twice after abort", []step{{"open", "ok"}, {"abort", "true"}, {"close", "true"}, {"close", "false"}}},
		{"open while aborted", []step{{"open", "ok"}, {"abort", "true"}, {"open", "already"}, {"close", "true"}, {"open", "ok"}}},
		{"abort owned", []step{{"open", "ok"}, {"abort owned", "new 1"}, {"abort owned", "none"}, {"abort", "false"}, {"close", "true"}}},
		{"abort another owner's", []step{{"open", "ok"}, {"abort stranger's", "none"}, {"live", "new 1"}, {"close", "false"}}},
		{"owner 0", []step{{"open 0", "ok"}, {"abort owned", "none"}, {"abort 0's", "new 1"}}},
		{"highest owner", []step{{"open max", "ok"}, {"sending", ""}, {"abort owned", "none"}, {"abort max's", "sending 1"}}},
		{"activities", []step{{"open", "ok"}, {"idle", ""}, {"live", "idle 1"}, {"sending", ""}, {"live", "sending 1"},
			{"closing", ""}, {"live", "closing 1"}, {"new", ""}, {"live", "new 1"}, {"close", "false"}}},
		{"activity begins anew", []step{{"open", "ok"}, {"closing", ""}, {"close", "false"}, {"open", "ok"}, {"live", "new 1"}}},
		{"activity of the aborted", []step{{"open", "ok"}, {"handling", ""}, {"abort owned", "handling 1"}, {"idle", ""},
			{"live", "none"}, {"close", "true"}}},
		{"activity does not bring back", []step{{"open", "ok"}, {"close", "false"}, {"idle", ""}, {"live", "none"}, {"open", "ok"}}},
		{"an activity that is none", []step{{"open", "ok"}, {"idle", ""}, {"11", ""}, {"live", "idle 1"}, {"63", ""}, {"64", ""},
			{"255", ""}, {"live", "idle 1"}, {"abort stranger's", "none"}, {"abort owned", "idle 1"}, {"close", "true"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var table Table
			fd := socket(t)
			open := func(owner int) string {
				err := table.Open(fd, owner)
				switch {
				case err == nil:
					return "ok"
				case strings.HasSuffix(err.Error(), "already"):
					return "already"
				}
				return err.Error()
			}
			abortOwned := func(owner int) string {
				sweep := table.AbortOwned(owner)
				if sweep.Refused != 0 || sweep.Err != nil || len(sweep.Cookies) != sweep.Aborted.Total() {
					t.Errorf("AbortOwned = %+v", sweep)
				}
				return counted(sweep.Aborted)
			}
			for i, s := range tt.steps {
				got := ""
				switch s.call {
				case "open":
					got = open(owner)
				case "open stranger":
					got = open(stranger)
				case "open 0":
					got = open(0)
				case "open max":
					got = open(MaxOwner)
				case "close":
					got = fmt.Sprint(table.Close(fd))
				case "abort":
					did, err := table.Abort(fd)
					lingertest.Must(t, err)
					got = fmt.Sprint(did)
				case "abort owned":
					got = abortOwned(owner)
				case "abort stranger's":
					got = abortOwned(stranger)
				case "abort 0's":
					got = abortOwned(0)
				case "abort max's":
					got = abortOwned(MaxOwner)
				case "live":
					got = counted(table.Live())
				default:
					table.SetActivity(fd, activityNamed(t, s.call))
				}
				if got != s.want {
					t.Fatalf("step %d: %s = %s, want %s", i, s.call, got, s.want)
				}
			}
		})
	}
}

// counted is like "new 1, idle 3", or "none".
func counted(tally Tally) string {
	var s []string
	tally.each(func(a Activity, n int) { s = append(s, fmt.Sprintf("%s %d", a, n)) })
	if s == nil {
		return "none"
	}
	return strings.Join(s, ", ")
}

// activityNamed takes the name of an activity or a number.
func activityNamed(t testing.TB, name string) Activity {
	t.Helper()
	if i := slices.Index(activityNames[:], name); i >= 0 {
		return Activity(i)
	}
	var n uint8
	if _, err := fmt.Sscan(name, &n); err != nil {
		t.Fatalf("%q is no activity", name)
	}
	return Activity(n)
}

// socket returns a TCP socket that is not connected.
func socket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	t.Cleanup(func() { lingertest.Must(t, unix.Close(fd)) })
	return fd
}

func TestTableRange(t *testing.T) {
	const descriptors = maxChunks * chunkSize
	tests := []struct {
		name      string
		fd, owner int
		want      error
	}{
		{name: "negative descriptor", fd: -1, want: ErrTableRange},
		{name: "descriptor beyond the table", fd: descriptors, want: ErrTableRange},
		{name: "descriptor far beyond the table", fd: 1<<63 - 1, want: ErrTableRange},
		{name: "negative owner", owner: -1, want: ErrTableRange},
		{name: "owner beyond the highest", owner: MaxOwner + 1, want: ErrTableRange},
		{name: "lowest", fd: 0, owner: 0},
		{name: "highest", fd: descriptors - 1, owner: MaxOwner},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var table Table
			if err := table.Open(tt.fd, tt.owner); !errors.Is(err, tt.want) {
				t.Errorf("Open(%d, %d) = %v, want %v", tt.fd, tt.owner, err, tt.want)
			}
			want := 1
			if tt.want != nil {
				want = 0
				// None of these has anything to do, and none minds.
				table.SetActivity(tt.fd, Idle)
				if did, err := table.Abort(tt.fd); did || err != nil {
					t.Errorf("Abort(%d) = %v, %v, want false", tt.fd, did, err)
				}
			}
			if got := table.Live().Total(); got != want {
				t.Errorf("Live counts %d, want %d", got, want)
			}
			if table.Close(tt.fd) {
				t.Errorf("Close(%d) = true, want false", tt.fd)
			}
		})
	}
}

// The table grows only where descriptors are, by whichever goroutine comes first.
func TestTableGrows(t *testing.T) {
	var table Table
	fds := []int{0, 1, chunkSize - 1, chunkSize, 3*chunkSize + 5, 1 << 20, 5_000_000, 5_000_001, maxChunks*chunkSize - 1}
	var wg sync.WaitGroup
	for round := range 8 {
		for _, fd := range fds {
			wg.Go(func() {
				// Only one goroutine owns a number; the others make it race for the chunks.
				if fd += 16 * round; fd < maxChunks*chunkSize {
					if err := table.Open(fd, round); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	want := Tally{New: 8*len(fds) - 7} // the highest has no neighbours
	if got := table.Live(); got != want {
		t.Errorf("Live = %v, want %v", got, want)
	}
	chunks := make(map[int]bool)
	for i := range table.chunks {
		if table.chunks[i].Load() != nil {
			chunks[i] = true
		}
	}
	wantChunks := map[int]bool{0: true, 1: true, 3: true, 1 << 20 / chunkSize: true, 5_000_000 / chunkSize: true, maxChunks - 1: true}
	if !maps.Equal(chunks, wantChunks) {
		t.Errorf("chunks %v exist, want %v", chunks, wantChunks)
	}
	for round := range 8 {
		// They are no descriptors of anything, or none of ours: take them out instead of aborting them.
		for _, fd := range fds {
			table.Close(fd + 16*round)
		}
	}
	if got := table.Live(); got != (Tally{}) {
		t.Errorf("Live after all were closed = %v, want none", got)
	}
}

// What the kernel refuses to reset counts as aborted, as its owner's close will abort it.
func TestTableRefused(t *testing.T) {
	var table Table
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	fine := socket(t)
	for _, fd := range []int{pair[0], fine, pair[1]} {
		lingertest.Must(t, table.Open(fd, 1))
	}
	sweep := table.AbortOwned(1)
	if want := (Tally{New: 3}); sweep.Aborted != want || sweep.Refused != 2 || len(sweep.Cookies) != 3 {
		t.Errorf("AbortOwned = %+v, want 3 aborted, 2 of them refused", sweep)
	}
	if !errors.Is(sweep.Err, unix.EINVAL) || !strings.Contains(sweep.Err.Error(), fmt.Sprintf("descriptor %d:", pair[0])) {
		t.Errorf("AbortOwned failed with %v, want EINVAL of descriptor %d", sweep.Err, pair[0])
	}
	for _, fd := range pair {
		if armed, err := Armed(fd); !armed || err != nil {
			t.Errorf("Armed = %v, %v, want true", armed, err)
		}
		if !table.Close(fd) {
			t.Error("Close = false, want true")
		}
	}
	lingertest.Must(t, Disarm(pair[0]))
	lingertest.Must(t, table.Open(pair[0], 1))
	if did, err := table.Abort(pair[0]); !did || !errors.Is(err, unix.EINVAL) {
		t.Errorf("Abort = %v, %v, want true and EINVAL", did, err)
	}
}

// Close lets nobody close a descriptor that is being aborted.
func TestTableCloseWaits(t *testing.T) {
	var table Table
	fd := socket(t)
	lingertest.Must(t, table.Open(fd, 1))
	s := table.slot(fd)
	live := s.state.Load()
	s.state.Store(live&^phaseMask | phaseAborting)

	if err := table.Open(fd, 1); err == nil {
		t.Error("Open while aborting succeeded")
	}
	if did, err := table.Abort(fd); did || err != nil {
		t.Errorf("Abort while aborting = %v, %v, want false", did, err)
	}
	if got := table.AbortOwned(1); got.Aborted.Total() != 0 {
		t.Errorf("AbortOwned while aborting = %+v, want none", got)
	}
	table.SetActivity(fd, Closing)
	closed := make(chan bool)
	go func() { closed <- table.Close(fd) }()
	for range 10_000 {
		select {
		case <-closed:
			t.Fatal("Close returned while the slot was aborting")
		default:
			runtime.Gosched()
		}
	}
	if got := s.state.Load(); got != live&^phaseMask|phaseAborting {
		t.Errorf("state while aborting = %#x, want it unchanged", got)
	}
	s.state.Store(live&^phaseMask | phaseAborted)
	if !<-closed {
		t.Error("Close = false, want true")
	}
}

// What an owner and a goroutine outside abort at once is aborted once and counted once; what others own stays.
func TestAbortOwnedTwiceAtOnce(t *testing.T) {
	const connections, activity = 300, 3
	s := listen(t, families[0])
	var table Table
	want := make(map[uint64]bool)
	type pair struct {
		wait func()
		a    *accepted
	}
	var ours []pair
	for i := range connections {
		client, a := s.connect(t)
		ours = append(ours, pair{func() { wantReset(t, client) }, a})
		lingertest.Must(t, table.Open(a.fd, 1))
		table.SetActivity(a.fd, Activity(i%activity))
		want[a.cookie(t)] = true
	}
	_, other := s.connect(t)
	lingertest.Must(t, table.Open(other.fd, 2))

	const sweepers = 4
	sweeps := make([]Sweep, sweepers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range sweeps {
		wg.Go(func() {
			<-start
			if i%2 == 0 {
				sweeps[i] = table.AbortOwned(1)
			} else {
				sweeps[i] = table.HelpAbort(1)
			}
		})
	}
	close(start)
	wg.Wait()
	var sum Sweep
	for _, sweep := range sweeps {
		sum.Add(sweep)
	}
	if wantTally := (Tally{100, 100, 100}); sum.Aborted != wantTally || sum.Refused != 0 || sum.Err != nil {
		t.Errorf("all AbortOwned together = %v, %d refused, %v, want %v", sum.Aborted, sum.Refused, sum.Err, wantTally)
	}
	got := make(map[uint64]bool)
	for _, cookie := range sum.Cookies {
		got[cookie] = true
	}
	if len(sum.Cookies) != connections || !maps.Equal(got, want) {
		t.Errorf("%d cookies, %d of them different, want the %d of the connections", len(sum.Cookies), len(got), len(want))
	}
	for _, p := range ours {
		p.wait()
		if !table.Close(p.a.fd) {
			t.Error("Close = false, want true")
		}
	}
	if got, want := table.Live(), (Tally{New: 1}); got != want {
		t.Errorf("Live = %v, want %v", got, want)
	}
	waitTCP(t, other, unix.BPF_TCP_ESTABLISHED)
}

func TestSweepAdd(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	var sum Sweep
	sum.Add(Sweep{Aborted: Tally{Idle: 2}, Cookies: []uint64{1, 2}})
	sum.Add(Sweep{Aborted: Tally{Idle: 1, Sending: 1}, Cookies: []uint64{3, 4}, Refused: 1, Err: first})
	sum.Add(Sweep{Aborted: Tally{New: 1}, Cookies: []uint64{5}, Refused: 1, Err: second})
	if want := (Tally{New: 1, Idle: 3, Sending: 1}); sum.Aborted != want || sum.Refused != 2 || sum.Err != first ||
		!slices.Equal(sum.Cookies, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("Add = %+v, want %v, 2 refused, cookies 1 to 5 and the first error", sum, want)
	}
}

// TestSweepDoesNotGrow: what grows while connections are being reset calls the garbage collector in.
func TestSweepDoesNotGrow(t *testing.T) {
	for name, sweep := range map[string]func(*Table) Sweep{
		"AbortOwned": func(table *Table) Sweep { return table.AbortOwned(1) },
		"HelpAbort":  func(table *Table) Sweep { return table.HelpAbort(1) },
	} {
		t.Run(name, func(t *testing.T) {
			const n = 5
			var table Table
			fds := []int{socket(t)} // a stranger's
			lingertest.Must(t, table.Open(fds[0], 2))
			for range n {
				fd := socket(t)
				lingertest.Must(t, table.Open(fd, 1))
				fds = append(fds, fd)
			}
			s := sweep(&table)
			if len(s.Cookies) != n || cap(s.Cookies) != n {
				t.Errorf("%s has %d cookies in room for %d, want %d in room for as many", name, len(s.Cookies), cap(s.Cookies), n)
			}
			if s := sweep(&table); s.Cookies != nil {
				t.Errorf("%s of nothing has room for %d cookies, want none", name, cap(s.Cookies))
			}
			for _, fd := range fds {
				table.Close(fd)
			}
		})
	}
}
