//go:build linux

package linger

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// BenchmarkConns enters and takes out again: what it costs each connection to be in a set.
func BenchmarkConns(b *testing.B) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	lingertest.Must(b, err)
	file := os.NewFile(uintptr(fd), "socket")
	defer file.Close()
	raw, err := file.SyscallConn()
	lingertest.Must(b, err)
	b.Run("Add and Remove", func(b *testing.B) {
		var set Conns
		b.ReportAllocs()
		for b.Loop() {
			e, _ := enter(&set, raw)
			e.remove()
		}
	})
	b.Run("Add and Remove, all processors, among 10000", func(b *testing.B) {
		var set Conns
		for range 10_000 {
			enter(&set, raw)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				e, _ := enter(&set, raw)
				e.remove()
			}
		})
	})
}

// BenchmarkConnsAbortAll ends all connections of a set; one operation is all of them. It compares to BenchmarkAbortOwned.
func BenchmarkConnsAbortAll(b *testing.B) {
	for _, callers := range []int{1, 2} {
		for _, n := range []int{1000, 9000} {
			b.Run(fmt.Sprintf("callers=%d/connections=%d", callers, n), func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					b.StopTimer()
					c := gather(b, n)
					files := make([]*os.File, 0, n)
					set := new(Conns)
					for _, fd := range c.servers {
						files = append(files, os.NewFile(uintptr(fd), "connection"))
						add(b, set, files[len(files)-1])
					}
					sweeps := make([]Sweep, callers)
					var calls sync.WaitGroup
					b.StartTimer()
					for i := range sweeps[1:] {
						calls.Go(func() { sweeps[1+i] = set.AbortAll(Hijacked) })
					}
					sweeps[0] = set.AbortAll(Hijacked)
					calls.Wait()
					b.StopTimer()
					var sum Sweep
					for _, sweep := range sweeps {
						sum.Add(sweep)
					}
					if sum.Aborted.Total() != n || sum.Err != nil {
						b.Fatalf("AbortAll = %v, %v", sum.Aborted, sum.Err)
					}
					for _, file := range files {
						lingertest.Must(b, file.Close())
					}
					c.servers = nil
					c.dismiss(b)
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/connection")
			})
		}
	}
}
