//go:build linux

package bench

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"rstserver/linger/lingertest"
)

// peerVariable makes the test binary one of the peers.
const peerVariable = "RSTSERVER_BENCH_PEER"

var peers = map[string]func() error{
	"floor":          Floor,
	"net/http Close": func() error { return NetHTTP(ByClose) },
	"net/http map":   func() error { return NetHTTP(ByHand) },
	"hoarder":        hoarder,
	"sink":           func() error { return serveHandler(http.HandlerFunc(sink)) },
}

func TestMain(m *testing.M) {
	if name := os.Getenv(peerVariable); name != "" {
		if err := peers[name](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lingertest.Main(m,
		// gnet's worker pool, which its import starts for good.
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
	)
}

// server is how a server is started.
type server = func() (*exec.Cmd, netip.AddrPort)

// peer returns the command of one of the peers.
func peer(name string) server {
	return func() (*exec.Cmd, netip.AddrPort) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), peerVariable+"="+name)
		cmd.Stderr = os.Stderr
		return cmd, netip.AddrPort{}
	}
}

// ours returns the command of the real binary, which is built for the test.
func ours(t testing.TB, args ...string) server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rstserver")
	if out, err := exec.Command("go", "build", "-o", path, "rstserver/cmd/rstserver").CombinedOutput(); err != nil {
		t.Fatalf("building the command: %v\n%s", err, out)
	}
	return func() (*exec.Cmd, netip.AddrPort) {
		cmd := exec.Command(path, append([]string{"--addr", "127.0.0.1:0", "--quiet"}, args...)...)
		cmd.Stderr = os.Stderr
		return cmd, netip.AddrPort{}
	}
}

// program returns the command of a program that is called with a port, one that was free a moment ago.
func program(t testing.TB, path string) server {
	return func() (*exec.Cmd, netip.AddrPort) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		addr := netip.MustParseAddrPort(ln.Addr().String())
		return exec.Command(path, fmt.Sprint(addr.Port())), addr
	}
}
