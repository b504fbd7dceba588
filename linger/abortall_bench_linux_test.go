//go:build linux

package linger

import (
	"fmt"
	"net"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// BenchmarkAbortAll measures how long a process takes to let go of many listeners, with some connections each.
func BenchmarkAbortAll(b *testing.B) {
	const listeners, each = 1000, 5
	for name, abort := range map[string]func([]*Listener) error{
		"AbortAll": func(all []*Listener) error { _, err := AbortAll(all...); return err },
		"Abort": func(all []*Listener) error {
			for _, l := range all {
				if _, err := l.Abort(); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		for _, sweep := range []bool{false, true} {
			b.Run(fmt.Sprintf("impl=%s/sweep=%v/listeners=%d/connections=%d", name, sweep, listeners, listeners*each), func(b *testing.B) {
				var took time.Duration
				for range b.N {
					all, end := listenMany(b, ListenConfig{Sweep: sweep}, listeners, each)
					began := time.Now()
					lingertest.Must(b, abort(all))
					took += time.Since(began)
					end()
				}
				b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/all")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// listenMany returns n Listeners with some connections each. end closes what is left of these.
func listenMany(b *testing.B, config ListenConfig, n, each int) (all []*Listener, end func()) {
	var conns []net.Conn
	for range n {
		l, err := config.Listen(b.Context(), "tcp", "127.0.0.1:0")
		lingertest.Must(b, err)
		all = append(all, l)
		for range each {
			client, err := net.Dial("tcp", l.Addr().String())
			lingertest.Must(b, err)
			server, err := l.Accept()
			lingertest.Must(b, err)
			conns = append(conns, client, server)
		}
	}
	return all, func() {
		for _, c := range conns {
			c.Close()
		}
	}
}
