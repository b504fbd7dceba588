//go:build linux

package linger

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// connectTCP returns both ends of a connection. The test's end closes the server's by RST, if it is open then.
func (s *server) connectTCP(t testing.TB) (client, conn *net.TCPConn) {
	t.Helper()
	client = s.dial(t)
	conn, err := s.AcceptTCP()
	lingertest.Must(t, err)
	lingertest.Must(t, conn.SetLinger(0))
	t.Cleanup(func() { conn.Close() })
	return client, conn
}

func rawConn(t testing.TB, c syscall.Conn) syscall.RawConn {
	t.Helper()
	raw, err := c.SyscallConn()
	lingertest.Must(t, err)
	return raw
}

// add enters what is no Conn.
func add(t testing.TB, set *Conns, c syscall.Conn) *entry {
	t.Helper()
	e, ok := enter(set, rawConn(t, c))
	if !ok {
		t.Fatal("enter = false, want true")
	}
	return e
}

func enter(set *Conns, raw syscall.RawConn) (*entry, bool) {
	e := &entry{raw: raw}
	return e, set.enter(e)
}

func abortEntry(e *entry) (did bool, err error) {
	r := newResetter()
	return e.abort(r), r.err
}

// TestConns goes through the states of an entry.
func TestConns(t *testing.T) {
	type step struct {
		call string // of those below
		want string
	}
	tests := []struct {
		name  string
		steps []step
		reset bool // the peer reads ECONNRESET; otherwise the connection lives, or was closed by close
	}{
		{"remove", []step{{"add", "true"}, {"len", "1"}, {"remove", "false"}, {"len", "0"}}, false},
		{"remove twice", []step{{"add", "true"}, {"remove", "false"}, {"remove", "false"}, {"len", "0"}}, false},
		{"abort", []step{{"add", "true"}, {"abort", "true"}, {"len", "0"}, {"remove", "true"}}, true},
		{"abort twice", []step{{"add", "true"}, {"abort", "true"}, {"abort", "false"}, {"abort all", "none"}, {"late", "none"}}, true},
		{"remove twice after abort", []step{{"add", "true"}, {"abort", "true"}, {"remove", "true"}, {"remove", "true"}}, true},
		{"abort after remove", []step{{"add", "true"}, {"remove", "false"}, {"abort", "false"}, {"abort all", "none"}, {"remove", "false"}}, false},
		{"abort all", []step{{"add", "true"}, {"abort all", "hijacked 1"}, {"len", "0"}, {"abort all", "none"}, {"abort", "false"},
			{"late", "none"}, {"remove", "true"}, {"remove", "true"}}, true},
		{"abort all under an activity that is none", []step{{"add", "true"}, {"abort all as 255", "new 1"}}, true},
		{"add after abort all", []step{{"abort all", "none"}, {"add", "false"}, {"len", "0"}, {"late", "hijacked 1"}, {"late", "hijacked 1"},
			{"abort", "false"}, {"abort all", "none"}, {"remove", "true"}, {"late", "hijacked 1"}}, true},
		{"late under the first activity", []step{{"abort all", "none"}, {"abort all as 255", "none"}, {"add", "false"}, {"late", "hijacked 1"}}, true},
		{"closed, removed", []step{{"add", "true"}, {"close", ""}, {"remove", "false"}, {"len", "0"}, {"abort all", "none"}}, true},
		{"closed, abort", []step{{"add", "true"}, {"close", ""}, {"len", "1"}, {"abort", "false"}, {"len", "0"}, {"remove", "false"}}, true},
		{"closed, abort all", []step{{"add", "true"}, {"close", ""}, {"abort all", "none"}, {"len", "0"}, {"remove", "false"}}, true},
		{"closed, added", []step{{"close", ""}, {"add", "true"}, {"abort all", "none"}, {"remove", "false"}}, true},
		{"closed, added late", []step{{"abort all", "none"}, {"close", ""}, {"add", "false"}, {"late", "none"}, {"len", "0"}, {"remove", "false"}}, true},
		{"closed after abort", []step{{"add", "true"}, {"abort", "true"}, {"close", ""}, {"remove", "true"}}, true},
		{"removed before close", []step{{"add", "true"}, {"remove", "false"}, {"close", ""}, {"abort all", "none"}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := listen(t, families[0])
			client, conn := s.connectTCP(t)
			raw := rawConn(t, conn)
			var set Conns
			var e *entry
			swept := func(sweep Sweep) string {
				if sweep.Refused != 0 || sweep.Err != nil || len(sweep.Cookies) != sweep.Aborted.Total() {
					t.Errorf("%+v", sweep)
				}
				return counted(sweep.Aborted)
			}
			for i, st := range tt.steps {
				got := ""
				switch st.call {
				case "add":
					var ok bool
					e, ok = enter(&set, raw)
					got = fmt.Sprint(ok)
				case "remove":
					got = fmt.Sprint(e.remove())
				case "abort":
					did, err := abortEntry(e)
					lingertest.Must(t, err)
					got = fmt.Sprint(did)
				case "abort all":
					got = swept(set.AbortAll(Hijacked))
				case "abort all as 255":
					got = swept(set.AbortAll(255))
				case "late":
					got = swept(set.Late())
				case "len":
					got = fmt.Sprint(set.Len())
				case "close":
					lingertest.Must(t, conn.Close()) // armed
				default:
					t.Fatalf("%q is no step", st.call)
				}
				if got != st.want {
					t.Fatalf("step %d: %s = %s, want %s", i, st.call, got, st.want)
				}
			}
			if len(set.entries) != 0 {
				t.Error("the set still holds the entry")
			}
			if tt.reset {
				wantReset(t, client)
				s.wantGone(t)
				return
			}
			_, err := conn.Write([]byte("alive"))
			lingertest.Must(t, err)
			lingertest.Must(t, conn.CloseWrite())
			wantWhole(t, client, "alive")
		})
	}
}

// Whoever is blocked in a read learns of the abort, the peer too, and nothing is left on the port although no descriptor
// is closed yet.
func TestConnsAbortAll(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		const connections = 50
		var set Conns
		var clients []*net.TCPConn
		var entries []*entry
		var readers sync.WaitGroup
		for range connections {
			client, conn := s.connectTCP(t)
			clients, entries = append(clients, client), append(entries, add(t, &set, conn))
			readers.Go(func() {
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("Read of the owner = %v, want ECONNRESET", err)
				}
			})
		}
		_, bystander := s.connect(t)

		sweep := set.AbortAll(Hijacked)
		if want := (Tally{Hijacked: connections}); sweep.Aborted != want || sweep.Refused != 0 || sweep.Err != nil {
			t.Errorf("AbortAll = %v, %d refused, %v, want %v", sweep.Aborted, sweep.Refused, sweep.Err, want)
		}
		left, err := Verify(Ending{Port: s.addr.Port(), Connections: sweep.Cookies})
		if want := (sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}); err != nil || left.Outlived.Total() != 0 || left.Others != want {
			t.Errorf("Verify = %+v, %v, want others %v", left, err, want)
		}
		readers.Wait()
		for i, client := range clients {
			wantReset(t, client)
			if !entries[i].remove() {
				t.Error("Remove = false, want true")
			}
		}
		lingertest.Must(t, Abort(bystander.fd))
		s.wantGone(t)
	})
}

// Entries come and go in every order; the set holds those that are left.
func TestConnsOrder(t *testing.T) {
	s := listen(t, families[0])
	_, conn := s.connectTCP(t)
	raw := rawConn(t, conn)
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, order := range orders {
		var set Conns
		var entries [3]*entry
		for i := range entries {
			entries[i], _ = enter(&set, raw)
		}
		left := map[*entry]bool{entries[0]: true, entries[1]: true, entries[2]: true}
		for _, i := range order {
			entries[i].remove()
			delete(left, entries[i])
			listed := make(map[*entry]bool)
			for k, e := range set.entries {
				listed[e] = true
				if e.index != k {
					t.Errorf("order %v: after %d the entry at %d believes that it is at %d", order, i, k, e.index)
				}
			}
			if !maps.Equal(listed, left) || set.Len() != len(left) {
				t.Errorf("order %v: after %d the set has %d, Len is %d, want %d", order, i, len(listed), set.Len(), len(left))
			}
		}
	}
}

// What the kernel refuses to reset counts as aborted, as its owner's close will abort it.
func TestConnsRefused(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	lingertest.Must(t, err)
	var files [2]*os.File
	for i, fd := range pair {
		files[i] = os.NewFile(uintptr(fd), "unix")
		defer files[i].Close()
	}
	s := listen(t, families[0])
	client, conn := s.connectTCP(t)
	var set Conns
	entries := []*entry{add(t, &set, files[0]), add(t, &set, conn)}
	sweep := set.AbortAll(Hijacked)
	if want := (Tally{Hijacked: 2}); sweep.Aborted != want || sweep.Refused != 1 || len(sweep.Cookies) != 2 {
		t.Errorf("AbortAll = %+v, want 2 aborted, 1 of them refused", sweep)
	}
	if !errors.Is(sweep.Err, unix.EINVAL) || !strings.Contains(sweep.Err.Error(), fmt.Sprintf("descriptor %d:", pair[0])) {
		t.Errorf("AbortAll failed with %v, want EINVAL of descriptor %d", sweep.Err, pair[0])
	}
	wantReset(t, client)
	e, ok := enter(&set, rawConn(t, files[1]))
	if late := set.Late(); ok || late.Aborted != (Tally{Hijacked: 1}) || late.Refused != 1 || !errors.Is(late.Err, unix.EINVAL) {
		t.Errorf("Add = %v, Late = %+v, want false and 1 refused", ok, late)
	}
	for _, e := range append(entries, e) {
		if !e.remove() {
			t.Error("Remove = false, want true")
		}
	}
	for _, fd := range pair {
		if armed, err := Armed(fd); !armed || err != nil {
			t.Errorf("Armed = %v, %v, want true", armed, err)
		}
		lingertest.Must(t, Disarm(fd))
	}
	var another Conns
	if did, err := abortEntry(add(t, &another, files[0])); !did || !errors.Is(err, unix.EINVAL) {
		t.Errorf("Abort = %v, %v, want true and EINVAL", did, err)
	}
}

// slowRaw is a RawConn whose Control takes until release is closed.
type slowRaw struct {
	syscall.RawConn
	slow             bool // from now on
	entered, release chan struct{}
}

func (r *slowRaw) Control(f func(fd uintptr)) error {
	if !r.slow {
		return r.RawConn.Control(f)
	}
	close(r.entered)
	<-r.release
	return r.RawConn.Control(f)
}

// Nothing returns while an abort is under way that it would have to tell of, and what is not being reset by one AbortAll is
// reset by the next.
func TestConnsWait(t *testing.T) {
	s := listen(t, families[0])
	var set Conns
	client, conn := s.connectTCP(t)
	add(t, &set, conn)
	slowClient, slowConn := s.connectTCP(t)
	raw := &slowRaw{RawConn: rawConn(t, slowConn), entered: make(chan struct{}), release: make(chan struct{})}
	slow, _ := enter(&set, raw) // the first that an AbortAll comes to
	raw.slow = true

	var returned atomic.Int32
	var calls sync.WaitGroup
	call := func(f func()) {
		calls.Go(func() {
			f()
			returned.Add(1)
		})
	}
	call(func() {
		if got, want := set.AbortAll(Hijacked).Aborted, (Tally{Hijacked: 1}); got != want {
			t.Errorf("first AbortAll = %v, want %v", got, want)
		}
	})
	<-raw.entered
	call(func() {
		if got, want := set.AbortAll(Idle).Aborted, (Tally{Idle: 1}); got != want {
			t.Errorf("second AbortAll = %v, want %v", got, want)
		}
	})
	call(func() {
		if !slow.remove() {
			t.Error("Remove = false, want true")
		}
	})
	call(func() {
		if did, err := abortEntry(slow); did || err != nil {
			t.Errorf("Abort = %v, %v, want false", did, err)
		}
	})
	wantReset(t, client)
	for range 10_000 {
		if n := returned.Load(); n > 0 {
			t.Fatalf("%d calls returned while the connection was aborting", n)
		}
		runtime.Gosched()
	}
	close(raw.release)
	calls.Wait()
	wantReset(t, slowClient)
	s.wantGone(t)
}

// Connections that are added while several goroutines abort all are reset, every one, and counted once: nothing slips
// through between Add and AbortAll.
func TestConnsAbortAllWhileAdding(t *testing.T) {
	const rounds, adders, each, sweepers = 10, 4, 25, 3
	for range rounds {
		s := listen(t, families[0])
		var (
			set     Conns
			clients []*net.TCPConn
			raws    []syscall.RawConn
			want    = make(map[uint64]bool)
			entries [adders * each]*entry
			sweeps  [sweepers]Sweep
			added   atomic.Int64
			calls   sync.WaitGroup
			start   = make(chan struct{})
		)
		for range adders * each {
			client, conn := s.connectTCP(t)
			clients, raws = append(clients, client), append(raws, rawConn(t, conn))
			lingertest.Control(t, conn, func(fd int) error {
				cookie, err := Cookie(fd)
				want[cookie] = true
				return err
			})
		}
		for i := range adders {
			calls.Go(func() {
				<-start
				for k := i * each; k < (i+1)*each; k++ {
					entries[k], _ = enter(&set, raws[k])
					added.Add(1)
					runtime.Gosched()
				}
			})
		}
		for i := range sweepers {
			calls.Go(func() {
				for added.Load() < adders*each/3 {
					runtime.Gosched()
				}
				sweeps[i] = set.AbortAll(Hijacked)
			})
		}
		close(start)
		calls.Wait()
		late := set.Late()
		sum := late
		for _, sweep := range sweeps {
			sum.Add(sweep)
		}
		got := make(map[uint64]bool)
		for _, cookie := range sum.Cookies {
			got[cookie] = true
		}
		if sum.Aborted != (Tally{Hijacked: adders * each}) || sum.Err != nil || len(sum.Cookies) != adders*each || !maps.Equal(got, want) {
			t.Errorf("all together %v, %d cookies, %d of them different, %v, want %d", sum.Aborted, len(sum.Cookies), len(got), sum.Err,
				adders*each)
		}
		for i, client := range clients {
			wantReset(t, client)
			if !entries[i].remove() {
				t.Error("Remove = false, want true")
			}
		}
		if n := set.Len(); n != 0 {
			t.Errorf("Len = %d, want 0", n)
		}
		s.wantGone(t)
		t.Logf("%d of %d came late", late.Aborted.Total(), adders*each)
	}
}
