//go:build linux

package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"rstserver/poller"
)

// serveHandler serves a handler with this project's server until SIGTERM. Like every peer it prints the address.
func serveHandler(h http.Handler) error {
	srv := &poller.Server{
		Handler: h, Addr: "127.0.0.1:0",
		Serving: func(addr netip.AddrPort) { fmt.Printf("listening on http://%s\n", addr) },
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	closed := make(chan error, 1)
	go func() {
		<-signals
		closed <- srv.Close()
	}()
	if err := srv.ListenAndServe(); err != poller.ErrServerClosed {
		return err
	}
	return <-closed
}

// sink reads a request's content to its end and says how long it was.
func sink(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%d\n", n)
}

// plain is peer without the race detector, which costs memory that is not the server's.
func plain(t testing.TB, name string) server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peers")
	if out, err := exec.Command("go", "test", "-c", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the peers: %v\n%s", err, out)
	}
	return func() (*exec.Cmd, netip.AddrPort) {
		cmd, addr := peer(name)()
		cmd.Path = path
		return cmd, addr
	}
}
