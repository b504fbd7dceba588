//go:build linux

package interop

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

func TestHTTP(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartHTTP(t, linger.ListenConfig{}), lingertest.Times(200, 1000), fleet.PlainStates())
	})
	t.Run("Abort, armed", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartHTTP(t, linger.ListenConfig{Armed: true}), 100, fleet.PlainStates())
	})
	t.Run("Drain", func(t *testing.T) {
		fleet.DrainsAll(t, fleet.StartHTTP(t, linger.ListenConfig{Armed: true}), fleet.PlainStates())
	})
	t.Run("Drain in order", func(t *testing.T) {
		fleet.FinishesInDrain(t, fleet.StartHTTP(t, linger.ListenConfig{Armed: true}), fleet.Finishing(fleet.Raw))
	})
}

func TestHTTPS(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartHTTPS(t, linger.ListenConfig{}, false), lingertest.Times(200, 1000), fleet.TLSStates(t))
	})
	t.Run("Abort, tls.NewListener", func(t *testing.T) {
		fleet.AbortsAll(t, fleet.StartHTTPS(t, linger.ListenConfig{Armed: true}, true), 100, fleet.TLSStates(t))
	})
	t.Run("Drain", func(t *testing.T) {
		fleet.DrainsAll(t, fleet.StartHTTPS(t, linger.ListenConfig{}, false), fleet.TLSStates(t))
	})
	t.Run("Drain in order", func(t *testing.T) {
		_, config := fleet.SelfSigned(t)
		states := fleet.Finishing(fleet.OverTLS(config))
		states = append(states, fleet.State{Name: "HTTP/2", Open: fleet.HTTP2Client(config, "/half", "/half"), Handlers: 2})
		fleet.FinishesInDrain(t, fleet.StartHTTPS(t, linger.ListenConfig{Armed: true}, false), states)
	})
}

// net/http has the kernel copy a file to a Conn, as to a net.TCPConn.
func TestHTTPSendfile(t *testing.T) {
	const size = 4 << 20
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	calls := make(chan int, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runtime.LockOSThread()
		before := writes(t)
		http.ServeFile(w, r, path)
		calls <- writes(t) - before
	})}
	s := fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error { return srv.Serve(s.Listener) })
	resp, err := http.Get("http://" + s.AddrPort.String())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	n, err := io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); n != size || err != nil {
		t.Errorf("the client read %d bytes, %v, want %d", n, err, size)
	}
	// A copy in the process writes 32 KiB at a time.
	if n := <-calls; n >= size/(32<<10) {
		t.Errorf("%d calls that write, want the copy in the kernel", n)
	}
}

// writes is how many system calls of this thread have written (proc_pid_io(5)).
func writes(t testing.TB) int {
	b, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		t.Errorf("the kernel does not count: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "syscw: "); ok {
			calls, _ := strconv.Atoi(strings.TrimSpace(n))
			return calls
		}
	}
	return 0
}
