//go:build linux

package linger

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// TestTableHammer shows that a number is never aborted after it was closed and handed to somebody else. Owners accept
// connections, enter them, take them out, and close them at full speed, while others abort whatever the table has. Right
// after each close an owner accepts a bystander, which as a rule gets the very number that was closed, and does not enter
// it. No bystander may ever be reset.
//
// There are more threads than processors, so that the kernel stops an aborter now and then where it hurts: after it has
// claimed the slot, and before its system call.
func TestTableHammer(t *testing.T) {
	const (
		owners   = 4
		aborters = 4
	)
	rounds := lingertest.Times(1000, 3000) // of each owner
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * (owners + aborters)))
	var (
		table Table
		stats hammerStats
		stop  atomic.Bool
		busy  sync.WaitGroup
		rest  sync.WaitGroup
	)
	for owner := range owners {
		o := newHammerOwner(t, &table, owner, &stats)
		busy.Go(func() {
			for range rounds {
				if err := o.round(); err != nil {
					t.Errorf("owner %d: %v", owner, err)
					break
				}
			}
			if err := o.end(); err != nil {
				t.Errorf("owner %d: %v", owner, err)
			}
		})
	}
	// Descriptors are handed out lowest first: none is far beyond those that were open.
	highest := len(lingertest.Descriptors()) + 8*owners
	for i := range aborters {
		rest.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for !stop.Load() {
				var sweep Sweep
				if random.IntN(16) == 0 {
					sweep = table.AbortOwned(random.IntN(owners))
				} else {
					did, err := table.Abort(random.IntN(highest))
					if did {
						sweep.Aborted[0]++
					}
					sweep.Err = err
				}
				stats.aborts.Add(int64(sweep.Aborted.Total()))
				if sweep.Err != nil {
					t.Errorf("abort: %v", sweep.Err)
				}
				runtime.Gosched()
			}
		})
	}
	busy.Wait()
	stop.Store(true)
	rest.Wait()
	if n := table.Live().Total(); n != 0 {
		t.Errorf("%d live after all were closed", n)
	}
	if got, want := stats.told.Load(), stats.aborts.Load(); got != want {
		t.Errorf("Close reported %d aborts, aborters did %d", got, want)
	}
	t.Logf("%d aborts, %d of %d connections; %d of %d bystanders had the number just closed",
		stats.aborts.Load(), stats.told.Load(), stats.entered.Load(), stats.reused.Load(), stats.bystanders.Load())
	if n := stats.bystanders.Load(); stats.reused.Load() < n/50 || stats.aborts.Load() < n/50 {
		t.Error("too few to prove anything")
	}
}

type hammerStats struct {
	entered, told, aborts, bystanders, reused atomic.Int64
}

// hammerOwner is one owner of connections. Only its goroutine uses it.
type hammerOwner struct {
	table    *Table
	number   int
	stats    *hammerStats
	listener int
	addr     unix.SockaddrInet4
	random   *rand.Rand
	last     *bystander
}

// A bystander is a connection that is not in the table.
type bystander struct{ client, fd int }

func newHammerOwner(t *testing.T, table *Table, number int, stats *hammerStats) *hammerOwner {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	t.Cleanup(func() { lingertest.Must(t, unix.Close(fd)) })
	lingertest.Must(t, Arm(fd)) // the ends of this test leave no TIME_WAIT
	lingertest.Must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr("127.0.0.1").As4()}))
	lingertest.Must(t, unix.Listen(fd, 16))
	sa, err := unix.Getsockname(fd)
	lingertest.Must(t, err)
	return &hammerOwner{table: table, number: number, stats: stats, listener: fd, addr: *sa.(*unix.SockaddrInet4),
		random: rand.New(rand.NewPCG(2, uint64(number)))}
}

func (o *hammerOwner) round() error {
	// Both connections are made beforehand: from the close of one to the accept of the other is no time.
	client, err := o.dial()
	if err != nil {
		return err
	}
	defer unix.Close(client)
	next := &bystander{fd: -1}
	if next.client, err = o.dial(); err != nil {
		return err
	}
	fd, _, err := unix.Accept4(o.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	if err := o.table.Open(fd, o.number); err != nil {
		return err
	}
	o.table.SetActivity(fd, Idle)
	// The aborters find it from here on. Half the time they are waited for, so that Close comes at the worst moment.
	for range 1000 * (o.random.IntN(2)) {
		if o.table.slot(fd).state.Load()&phaseMask != phaseLive {
			break
		}
		runtime.Gosched()
	}
	aborted := o.table.Close(fd)
	if err := unix.Close(fd); err != nil {
		return err
	}
	next.fd, _, err = unix.Accept4(o.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
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
		return errors.Join(errors.New("the peer of a connection in the table was not reset"), err)
	}
	// The bystander of the round before had all this time to be hit.
	err = o.end()
	o.last = next
	return err
}

// end checks and ends the last bystander.
func (o *hammerOwner) end() error {
	b := o.last
	if b == nil {
		return nil
	}
	o.last = nil
	defer unix.Close(b.client)
	defer unix.Close(b.fd)
	info, err := unix.GetsockoptTCPInfo(b.fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return err
	}
	if info.State != unix.BPF_TCP_ESTABLISHED {
		return errors.New("a connection that nobody had entered was aborted")
	}
	if _, err := unix.Write(b.fd, []byte{1}); err != nil {
		return err
	}
	_, err = unix.Read(b.client, make([]byte, 1))
	return err
}

// dial returns a connected client that is armed.
func (o *hammerOwner) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	patience := unix.NsecToTimeval(lingertest.Patience.Nanoseconds())
	err = errors.Join(Arm(fd), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience), unix.Connect(fd, &o.addr))
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
