package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func TestFreeSelects(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	for _, tt := range []struct {
		flags string
		left  sockdiag.Counts // of one established, one in FIN_WAIT2 and one in TIME_WAIT
	}{
		{"--state time-wait,fin-wait-2", sockdiag.Counts{sockdiag.Established: 1}},
		{"--state TIME_WAIT --state FIN-WAIT-2", sockdiag.Counts{sockdiag.Established: 1}},
		{"--state estab", sockdiag.Counts{sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--peer 127.0.0.0/8", sockdiag.Counts{}},
		{"--peer 10.0.0.0/8,127.0.0.1", sockdiag.Counts{}},
		{"--peer 10.0.0.0/8", sockdiag.Counts{sockdiag.Established: 1, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--local 127.0.0.1 --peer ::ffff:127.0.0.1", sockdiag.Counts{}},
		{"--process rstserver.test", sockdiag.Counts{sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--process " + strconv.Itoa(os.Getpid()), sockdiag.Counts{sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--process 1,nobody", sockdiag.Counts{sockdiag.Established: 1, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--idle 1h", sockdiag.Counts{sockdiag.Established: 1, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--idle 1ms", sockdiag.Counts{sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--queued 1000", sockdiag.Counts{sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
		{"--queued 1001", sockdiag.Counts{sockdiag.Established: 1, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}},
	} {
		t.Run(tt.flags, func(t *testing.T) {
			p := listen(t, "127.0.0.1")
			c := p.leave()
			c.send("%s", strings.Repeat("x", 1000))
			lingertest.Wait(t, "1,000 bytes wait, and have for 2 ms", func() bool {
				d, err := sockdiag.Inspect(p.addr.Port())
				for _, s := range d.Sockets {
					if idle, known := s.Traffic.Idle(); known && s.Queued() == 1000 && idle > 2*time.Millisecond {
						return true
					}
				}
				return err != nil
			})
			cmd := launch(t, p.free(append(strings.Fields(tt.flags), "--yes")...))
			cmd.exit(1) // the test listens
			cmd.expectText("is not free")
			tt.left[sockdiag.Listen]++
			if got := p.counts(); got != tt.left {
				t.Errorf("left on the port: %v, want %v", got, tt.left)
			}
		})
	}
}

// TestFreeLocal: the port of another address is neither freed nor in the way.
func TestFreeLocal(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	p := listen(t, "127.0.0.1")
	p.leave()
	other := listenAt(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), p.addr.Port()))
	c := dial(t, other)
	p.Close()
	cmd := launch(t, p.free("--yes", "--local", "127.0.0.1"))
	cmd.exit(0)
	cmd.expectText("destroyed 3 sockets", fmt.Sprintf("is free: %s could be bound", p.addr))
	c.send("x") // it lives
	if got := p.counts()[sockdiag.Established]; got != 1 {
		t.Errorf("%d connections of the other address are left, want 1", got)
	}
}
