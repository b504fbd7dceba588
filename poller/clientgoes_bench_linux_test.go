//go:build linux

package poller

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// BenchmarkClientsGo is how long it takes until so many handlers that wait know that their clients, which all go at once,
// have gone, and what processor time that costs, with the clients' own.
func BenchmarkClientsGo(b *testing.B) {
	const clients = 9_000 // twice as many descriptors, of 20,000
	var waiting, ended sync.WaitGroup
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		waiting.Done()
		<-r.Context().Done()
		ended.Done()
	})
	for name, serve := range map[string]func(net.Listener) io.Closer{
		"poller": func(ln net.Listener) io.Closer {
			return startOn(b, &Server{Handler: handler, Logger: slog.New(slog.DiscardHandler)}, ln)
		},
		"nethttp": func(ln net.Listener) io.Closer {
			srv := &http.Server{Handler: handler}
			go func() { _ = srv.Serve(ln) }()
			return srv
		},
	} {
		b.Run("server="+name, func(b *testing.B) {
			var took, cpu time.Duration
			for range b.N {
				ln := listenAlone(b)
				srv := serve(ln)
				waiting.Add(clients)
				ended.Add(clients)
				conns := make([]net.Conn, clients)
				for i := range conns {
					c, err := net.Dial("tcp", ln.Addr().String())
					lingertest.Must(b, err)
					_, err = io.WriteString(c, getRoot)
					lingertest.Must(b, err)
					conns[i] = c
				}
				waiting.Wait()
				time.Sleep(10 * quickHandler) // none is quick any more
				began, before := time.Now(), processorTime(b)
				for _, c := range conns {
					_ = c.(*net.TCPConn).CloseWrite()
				}
				ended.Wait()
				took += time.Since(began)
				cpu += processorTime(b) - before
				for _, c := range conns {
					_ = c.(*net.TCPConn).SetLinger(0)
					_ = c.Close()
				}
				_ = srv.Close()
			}
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/all")
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/all")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	lingertest.Must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
