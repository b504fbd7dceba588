//go:build linux

package bench

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/poller"
)

// serveHandler serves a handler with this project's server until SIGTERM.
func serveHandler(addr string, h http.Handler) error {
	srv := &poller.Server{Handler: h, Addr: addr}
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

// hoarderVariable holds how many files the hoarder may have open, connections included.
const hoarderVariable = "RSTSERVER_BENCH_HOARDER_FILES"

// hoarder serves a handler that opens as many files as it is asked to, and holds them until it is asked to close them.
func hoarder(addr string) error {
	files, err := strconv.ParseUint(os.Getenv(hoarderVariable), 10, 64)
	if err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: files, Max: files}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	var mu sync.Mutex
	var held []int
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Hello, World!") })
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n, _ := strconv.Atoi(r.FormValue("n"))
		for range n {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				fmt.Fprintf(w, "%d held, then %s", len(held), err)
				return
			}
			held = append(held, fd)
		}
		fmt.Fprintf(w, "%d held", len(held))
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, fd := range held {
			_ = unix.Close(fd)
		}
		fmt.Fprintf(w, "%d closed", len(held))
		held = nil
	})
	return serveHandler(addr, mux)
}

// plain is peer of the plain program.
func plain(key string) Server {
	server := peer(key)
	server.Command[0] = plainProgram()
	return server
}
