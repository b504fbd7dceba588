//go:build linux

package bench

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"

	"golang.org/x/sys/unix"
)

// most is mix, or as much of it as the limit of open files allows to one process; a tenth of what is much under -short.
func most(t testing.TB, mix fleet.Mix) fleet.Mix {
	t.Helper()
	if n := mix.Total(); testing.Short() {
		mix = scale(mix, max(min(n, 200), n/10))
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	scaled := scale(mix, int(l.Cur)-500)
	if n := scaled.Total(); n < mix.Total() {
		t.Logf("%d connections in place of %d: raise the limit of open files (ulimit -n) for more", n, mix.Total())
	}
	return scaled
}

// scale is a mix in the same proportions with at most total connections.
func scale(m fleet.Mix, total int) fleet.Mix {
	all := m.Total()
	if all <= total {
		return m
	}
	scaled := make(fleet.Mix, len(m))
	for i, s := range m {
		scaled[i] = kinds.Share{Kind: s.Kind, N: s.N * total / all}
	}
	return scaled
}

// everything is a server in the middle of its life.
var everything = mix("idle=15000,stuck=2000,half=500,streaming=500,upgraded=500,full=500")

// Whatever the connections are doing, and even if the process is killed: every client reads ECONNRESET, no socket of any
// state is left, and the port can be bound without SO_REUSEADDR.
func TestNothingIsLeft(t *testing.T) {
	tests := []struct {
		mix    fleet.Mix
		signal syscall.Signal
	}{
		{fleet.All(19_000, kinds.Idle), syscall.SIGTERM},
		{fleet.All(10_000, kinds.Idle), syscall.SIGKILL},
		{fleet.All(5_000, kinds.Half), syscall.SIGTERM},
		{fleet.All(5_000, kinds.Half), syscall.SIGKILL},
		{fleet.All(5_000, kinds.Fresh), syscall.SIGINT},
		{fleet.All(200, kinds.Full), syscall.SIGTERM},
		{fleet.All(200, kinds.Full), syscall.SIGKILL},
		{everything, syscall.SIGTERM},
		{scale(everything, 5_000), syscall.SIGKILL},
	}
	server := ours()
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s by %s", tt.mix, tt.signal), func(t *testing.T) {
			mix := most(t, tt.mix)
			server.Signal = tt.signal
			rep, err := run{Server: server, Mix: mix, Settle: time.Second, Stderr: os.Stderr}.measure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if rep.Endings["reset"] != mix.Total() {
				t.Errorf("%v; want all of %s reset", rep.ByKind, mix)
			}
			if left := rep.Left[0].States; left.Total() != 0 {
				t.Errorf("left on the port: %s", left)
			}
			if rep.Free == nil {
				t.Error("the port did not become free")
			}
			want := "exit code 0"
			if tt.signal == syscall.SIGKILL {
				want = "SIGKILL"
			}
			if !slices.Equal(rep.Exit, []string{want}) {
				t.Errorf("the process ended with %q, want %q", rep.Exit, want)
			}
		})
	}
}
