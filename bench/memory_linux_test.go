//go:build linux

package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// BenchmarkIdleMemory reports what a server holds resident with *connections idle connections that each had one request.
func BenchmarkIdleMemory(b *testing.B) {
	for _, c := range []struct {
		name   string
		server server
	}{{"rstserver", ours(b)}, {"net/http", peer("net/http Close")}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				cmd, addr := c.server()
				p, err := Start(cmd, addr, patience)
				if err != nil {
					b.Fatal(err)
				}
				f, err := Open(p.Addr, All(*connections, Idle), patience)
				if err != nil {
					p.Kill()
					b.Fatal(err)
				}
				b.ReportMetric(memoryMB(b, p.PID(), "VmRSS"), "MB-resident")
				p.Kill()
				f.Close()
			}
		})
	}
}

// memoryMB is a figure of /proc/PID/status (proc(5)), in units of 10^6 bytes: VmRSS, or VmHWM for the most that it has been.
func memoryMB(t testing.TB, pid int, name string) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kB float64
		if n, _ := fmt.Sscanf(line, name+": %f kB", &kB); n == 1 {
			return kB * 1024 / 1e6
		}
	}
	t.Fatalf("no %s in /proc/PID/status", name)
	return 0
}
