//go:build linux

package bench

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// most is mix, or as much of it as the limit of open files allows to one process; a tenth of what is much under -short.
func most(t testing.TB, mix Mix) Mix {
	t.Helper()
	if n := mix.Total(); testing.Short() {
		mix = mix.Scale(max(min(n, 200), n/10))
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	scaled := mix.Scale(int(l.Cur) - 500)
	if n := scaled.Total(); n < mix.Total() {
		t.Logf("%d connections in place of %d: raise the limit of open files (ulimit -n) for more", n, mix.Total())
	}
	return scaled
}

// everything is a server in the middle of its life.
var everything = Mix{{Idle, 15_000}, {Stuck, 2_000}, {Half, 500}, {Streaming, 500}, {Upgraded, 500}, {Full, 500}}

// Whatever the connections are doing, and even if the process is killed: every client reads ECONNRESET, no socket of any
// state is left, and the port can be bound without SO_REUSEADDR.
func TestNothingIsLeft(t *testing.T) {
	tests := []struct {
		mix    Mix
		signal syscall.Signal
	}{
		{All(19_000, Idle), syscall.SIGTERM},
		{All(10_000, Idle), syscall.SIGKILL},
		{All(5_000, Half), syscall.SIGTERM},
		{All(5_000, Half), syscall.SIGKILL},
		{All(5_000, Fresh), syscall.SIGINT},
		{All(200, Full), syscall.SIGTERM},
		{All(200, Full), syscall.SIGKILL},
		{everything, syscall.SIGTERM},
		{everything.Scale(5_000), syscall.SIGKILL},
	}
	server := ours()
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s by %s", tt.mix, tt.signal), func(t *testing.T) {
			mix := most(t, tt.mix)
			server.Signal = tt.signal
			rep, err := Run{Server: server, Mix: mix, Clients: clients, Settle: time.Second, Stderr: os.Stderr}.Measure(t.Context())
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
