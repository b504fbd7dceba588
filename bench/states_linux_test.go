//go:build linux

package bench

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// most is mix, or as much of it as the limit of open files allows to one process.
func most(t testing.TB, mix Mix) Mix {
	t.Helper()
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
var everything = Mix{{Idle, 15_000}, {Slow, 2_000}, {Half, 500}, {Streaming, 500}, {Upgraded, 500}, {Full, 500}}

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
	server := ours(t)
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s by %s", tt.mix, tt.signal), func(t *testing.T) {
			mix := most(t, tt.mix)
			res, err := Run{server, mix, tt.signal, time.Second}.Measure()
			if err != nil {
				t.Fatal(err)
			}
			if got := res.Endings.By[Reset]; got != mix.Total() {
				t.Errorf("%s; want all of %s reset (%v)", res.Endings, mix, res.Endings.Err)
			}
			if res.Left.Total() != 0 {
				t.Errorf("left on the port: %s", res.Left)
			}
			if res.Free == 0 {
				t.Error("the port did not become free")
			}
			want := 0
			if tt.signal == syscall.SIGKILL {
				want = -1
			}
			if res.Exit != want {
				t.Errorf("exit code %d, want %d", res.Exit, want)
			}
		})
	}
}

// The peers do what they are measured for.
func TestPeers(t *testing.T) {
	const n = 500
	tests := []struct {
		peer   string
		ending Ending
		free   bool
	}{
		{"floor", Reset, true},
		{"net/http map", Reset, true},
		{"net/http Close", EOF, false},
	}
	for _, tt := range tests {
		t.Run(tt.peer, func(t *testing.T) {
			res, err := Run{peer(tt.peer), All(n, Idle), syscall.SIGTERM, 0}.Measure()
			if err != nil {
				t.Fatal(err)
			}
			if res.Endings.By[tt.ending] != n {
				t.Errorf("%s; want %d %s", res.Endings, n, tt.ending)
			}
			if free := res.Left.Total() == 0 && res.Free > 0; free != tt.free {
				t.Errorf("left %s, port free after %s; want free: %v", res.Left, res.Free, tt.free)
			}
		})
	}
}

// What a server does wrong is an error that says so.
func TestBadServers(t *testing.T) {
	tests := []struct {
		name   string
		script string
		want   string
	}{
		{"ends at once", "exit 3", "in place of its address"},
		{"prints something else", "echo hello; exec sleep 60", "in place of its address"},
		{"prints no address", "echo listening on http://nowhere; exec sleep 60", "nowhere"},
		{"does not listen", "echo listening on http://127.0.0.1:1; exec sleep 60", "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := func() (*exec.Cmd, netip.AddrPort) { return exec.Command("sh", "-c", tt.script), netip.AddrPort{} }
			_, err := Run{server, All(1, Idle), syscall.SIGTERM, 0}.Measure()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Measure() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}
