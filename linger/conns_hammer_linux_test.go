//go:build linux

package linger

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// TestConnsHammer does to a set of RawConns what TestTableHammer does to a table. Here owners forget: they close before they
// take out as often as after it, and the aborters know entries long after their connections were closed and their numbers
// handed to bystanders. Now and then an aborter ends a whole set, and owners go on with the next.
func TestConnsHammer(t *testing.T) {
	const (
		owners   = 4
		aborters = 4
	)
	rounds := lingertest.Times(1000, 3000) // of each owner
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * (owners + aborters)))
	var (
		arena connsArena
		stop  atomic.Bool
		busy  sync.WaitGroup
		rest  sync.WaitGroup
	)
	arena.set.Store(new(Conns))
	for i := range owners {
		o := &connsOwner{newHammerOwner(t, nil, i, &arena.stats), &arena}
		busy.Go(func() {
			for range rounds {
				if err := o.round(); err != nil {
					t.Errorf("owner %d: %v", i, err)
					break
				}
			}
			if err := o.end(); err != nil {
				t.Errorf("owner %d: %v", i, err)
			}
		})
	}
	for i := range aborters {
		random := rand.New(rand.NewPCG(3, uint64(i)))
		rest.Go(func() {
			for !stop.Load() {
				if err := arena.abort(random); err != nil {
					t.Errorf("abort: %v", err)
				}
				runtime.Gosched()
			}
		})
	}
	busy.Wait()
	stop.Store(true)
	rest.Wait()

	last := arena.set.Load()
	if len(last.entries) != 0 {
		t.Error("the last set still holds entries after all were removed")
	}
	late := 0
	for _, set := range append(arena.ended, last) {
		late += set.Late().Aborted.Total()
		if n := set.Len(); n != 0 {
			t.Errorf("%d live after all were removed", n)
		}
	}
	stats := &arena.stats
	if got, want := stats.told.Load(), stats.aborts.Load()+int64(late); got != want {
		t.Errorf("Remove reported %d aborts, aborters did %d, %d of them late", got, want, late)
	}
	t.Logf("%d aborts and %d late, %d of %d connections, in %d sets; %d of %d bystanders had the number just closed",
		stats.aborts.Load(), late, stats.told.Load(), stats.entered.Load(), len(arena.ended)+1, stats.reused.Load(), stats.bystanders.Load())
	if n := stats.bystanders.Load(); stats.reused.Load() < n/50 || stats.aborts.Load() < n/50 || late == 0 {
		t.Error("too few to prove anything")
	}
}

// connsArena is what owners and aborters share.
type connsArena struct {
	stats hammerStats
	set   atomic.Pointer[Conns]
	// entries are the latest, most of them of connections closed long ago.
	entries [16]atomic.Pointer[entry]

	mu    sync.Mutex // guards ended
	ended []*Conns
}

func (a *connsArena) abort(random *rand.Rand) error {
	if random.IntN(64) == 0 {
		set := a.set.Swap(new(Conns))
		sweep := set.AbortAll(Hijacked)
		a.stats.aborts.Add(int64(sweep.Aborted.Total()))
		a.mu.Lock()
		a.ended = append(a.ended, set)
		a.mu.Unlock()
		return sweep.Err
	}
	e := a.entries[random.IntN(len(a.entries))].Load()
	if e == nil {
		return nil
	}
	did, err := abortEntry(e)
	if did {
		a.stats.aborts.Add(1)
	}
	return err
}

type connsOwner struct {
	*hammerOwner
	arena *connsArena
}

func (o *connsOwner) round() error {
	client, err := o.dial()
	if err != nil {
		return err
	}
	defer unix.Close(client)
	next := &bystander{fd: -1}
	if next.client, err = o.dial(); err != nil {
		return err
	}
	fd, _, err := unix.Accept4(o.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	// A File keeps its descriptor as a net.TCPConn does, and takes this very one.
	file := os.NewFile(uintptr(fd), "connection")
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	e, _ := enter(o.arena.set.Load(), raw)
	o.arena.entries[o.random.IntN(len(o.arena.entries))].Store(e)
	for range 1000 * (o.random.IntN(2)) {
		if e.state.Load() != phaseLive {
			break
		}
		runtime.Gosched()
	}
	early := o.random.IntN(2) == 0
	removed := early && e.remove()
	if err := file.Close(); err != nil {
		return err
	}
	next.fd, _, err = unix.Accept4(o.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	aborted := e.remove()
	if early && aborted != removed {
		return errors.New("the second Remove said something else than the first")
	}

	o.stats.entered.Add(1)
	if aborted {
		o.stats.told.Add(1)
	}
	o.stats.bystanders.Add(1)
	if next.fd == fd {
		o.stats.reused.Add(1)
	}
	if _, err := unix.Read(client, make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		return errors.Join(errors.New("the peer of a connection in the set was not reset"), err)
	}
	err = o.end()
	o.last = next
	return err
}
