//go:build linux

package bench

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// own are the servers that only tests need.
var own = map[string]func(addr string) error{
	"hoarder":  hoarder,
	"stubborn": serveStubborn,
	"sink":     func(addr string) error { return serveHandler(addr, http.HandlerFunc(sink)) },
}

// tempDir is the one from before any test: what is built lazily outlives a test with a TMPDIR of its own.
var tempDir = os.TempDir()

// patience bounds what has to happen sooner or later and is not measured.
const patience = DefaultPatience

func init() {
	for name := range shakyFaults {
		own["shaky-"+name] = func(addr string) error { return serveShaky(name, addr) }
	}
}

func TestMain(m *testing.M) {
	// What every process that the tests start is to do too: to end at once, and not a second later, as with the race detector.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	help := Helper
	if len(os.Args) > 3 && os.Args[1] == serverCommand && own[os.Args[2]] != nil {
		help = func(args []string) (bool, error) { return true, own[args[1]](args[2]) }
	}
	helped, err := help(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if helped {
		os.Exit(0)
	}
	clientsProgram = func() (string, error) { return peerProgram(), nil }
	lingertest.Main(m)
}

// peer is one of the servers in this program.
func peer(key string) Server {
	return Server{
		Name: key, Command: []string{peerProgram(), serverCommand, key, "127.0.0.1:{port}"},
		Signal: syscall.SIGTERM, Paths: ourPaths, Share: []string{shareFlag}, TLS: byTLSFlag,
	}
}

// build builds a program that the tests start, once for all of them, those in processes that the tests start too.
func build(name, of string, command ...string) string {
	variable := "RSTSERVER_BENCH_BUILT_" + strings.ToUpper(name)
	if path := os.Getenv(variable); path != "" {
		return path
	}
	dir, err := os.MkdirTemp(tempDir, "rstserver-bench-test-")
	if err == nil {
		lingertest.AtExit(func() { os.RemoveAll(dir) })
		dir, err = filepath.Abs(dir) // TMPDIR may be relative
	}
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, name)
	// Nobody looks at it with a debugger: without what is for one, half of the linker's work is left.
	if out, err := exec.Command("go", append(command, "-ldflags=-s -w", "-o", path, of)...).CombinedOutput(); err != nil {
		panic(fmt.Sprintf("building %s: %v\n%s", name, err, out))
	}
	if err := os.Setenv(variable, path); err != nil {
		panic(err)
	}
	return path
}

// plainProgram is this program without the race detector, which costs memory and time that is not the server's.
func plainProgram() string { return build("plain", ".", "test", "-c") }

// peerProgram is what servers in this program, and clients, are started as. Under -short most are without the race detector, which
// costs a third of the processor time: what is tested with them is in this process. What the clients are made of is in
// bench/internal/fleet, whose tests start them with the detector in any case.
func peerProgram() string {
	if testing.Short() {
		return plainProgram()
	}
	return os.Args[0]
}

// elsewhere is lingertest.Elsewhere for a test that starts servers.
func elsewhere(t *testing.T, prepare func() error, wrap ...string) bool {
	t.Helper()
	_ = peerProgram() // once for both
	return lingertest.Elsewhere(t, prepare, wrap...)
}

// shares are those that s describes.
func shares(s string) kinds.Shares {
	parsed, err := kinds.ParseShares(s)
	if err != nil {
		panic(err)
	}
	return parsed
}

// mix is what s describes, with weights for numbers.
func mix(s string) fleet.Mix { return fleet.Mix(shares(s)) }

// ours is the real binary.
func ours(args ...string) Server {
	path := build("rstserver", "rstserver/cmd/rstserver", "build")
	return Server{
		Name: "rstserver", Command: append([]string{path, "--addr", "127.0.0.1:{port}", "--quiet"}, args...),
		Signal: syscall.SIGTERM, Paths: withWebSocket(ourPaths), Share: []string{"--reuseport"},
		TLS: []string{"--tls-cert", "{cert}", "--tls-key", "{key}"},
	}
}
