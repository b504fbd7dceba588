//go:build linux

package sockdiag

import (
	"testing"

	"rstserver/internal/lingertest"
)

func BenchmarkCount(b *testing.B) {
	// The port of a listener alone: what walking the kernel's tables costs.
	port := manyRaw(b, 0, false)
	benchmarkCount(b, "sockets=1", port, Counts{Listen: 1})
	port = manyRaw(b, 10_000, true)
	want := Counts{Listen: 1, TimeWait: 10_000}
	waitFor(b, kernel, port, func(d Dump) bool { return d.Count() == want })
	benchmarkCount(b, "time_wait=10000", port, want)
	benchmarkCount(b, "established=9000", many(b, 9000), Counts{Listen: 1, Established: 9000})
}

func benchmarkCount(b *testing.B, name string, port uint16, want Counts) {
	for source, sys := range map[Source]system{FromNetlink: kernel, FromProc: procOnly} {
		b.Run(name+"/"+string(source), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c, _, err := sys.count(port); c != want || err != nil {
					b.Fatalf("Count = %v, %v, want %v", c, err, want)
				}
			}
		})
	}
}

func BenchmarkPort(b *testing.B) {
	port := many(b, 9000)
	for source, sys := range map[Source]system{FromNetlink: kernel, FromProc: procOnly} {
		b.Run("established=9000/"+string(source), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d, err := sys.port(port); len(d.Sockets) != 9001 || err != nil {
					b.Fatalf("Port = %d sockets, %v, want 9001", len(d.Sockets), err)
				}
			}
		})
	}
}

func BenchmarkDestroy(b *testing.B) {
	needDestroy(b)
	for b.Loop() {
		b.StopTimer()
		port := manyRaw(b, 5000, true)
		want := Counts{Listen: 1, TimeWait: 5000}
		waitFor(b, kernel, port, func(d Dump) bool { return d.Count() == want })
		d, err := Port(port)
		lingertest.Must(b, err)
		sockets := onlyConnections(d)
		b.StartTimer()
		wantDestruction(b, sockets, 5000, 0, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/socket")
}
