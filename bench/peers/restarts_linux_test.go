//go:build linux

package peers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
)

// restartable is where the programs are whose restarts are measured: where make peers has put them, or a directory with as many as are
// here.
func restartable(t *testing.T) string {
	if dir := os.Getenv(dirVariable); dir != "" {
		return dir
	}
	dir := t.TempDir()
	for _, name := range []string{"nginx", "haproxy", "gunicorn", "common.sh", "node"} {
		path, err := filepath.Abs(name)
		lingertest.Must(t, err)
		lingertest.Must(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	lingertest.Must(t, os.Symlink(filepath.Join(built, "restarting"), filepath.Join(dir, "restarting")))
	return dir
}

// Every program that is restarted under load is, in its way, and its processes are told apart.
func TestRestarts(t *testing.T) {
	needs := map[string]string{"nginx-hup": "nginx", "nginx-usr2": "nginx", "haproxy-usr2": "haproxy", "gunicorn-hup": "gunicorn", "node-cluster": "node"}
	dir := restartable(t)
	for _, k := range bench.NewRestartRoster("", dir, "make peers") {
		if k.Needs == "" {
			continue // it is of rstserver itself
		}
		t.Run(k.Key, func(t *testing.T) {
			t.Parallel()
			if program := needs[k.Key]; program != "" {
				debian.Program(t, program, program)
			}
			if _, err := os.Stat(k.Needs); err != nil {
				debian.Missing(t, k.Needs+" is missing: run make peers, and this test with "+dirVariable+"=DIR, the absolute path of bin/peers")
			}
			clients, err := kinds.ParseWork("get=2,post=2,in-flight=1,upload=1,idle=2,sse=2")
			lingertest.Must(t, err)
			m := bench.Restarts{Servers: []bench.Server{k.Server}, Clients: clients, N: 10, Runs: 1, Each: 2, Rate: 50, Window: 100 * time.Millisecond,
				Late: time.Second, Timeout: patience} // nginx answers that late, among other numbers
			d, err := m.Measure(t.Context())
			lingertest.Must(t, err)
			if len(d.Failed) > 0 || len(d.Restarted) != 1 || len(d.Restarted[0].Runs[0].Restarts) != 2 {
				t.Fatalf("failed %+v, restarted %+v", d.Failed, d.Restarted)
			}
			for i, r := range d.Restarted[0].Runs[0].Restarts {
				t.Logf("lost %v, cut %v, %d answers of old processes and %d of new ones", r.With.Lost, r.With.Cut, r.With.Old, r.With.New)
				if inPlace := k.Process == ""; r.InPlace != inPlace || (r.Gone == nil) != inPlace || (r.With.New == 0) != inPlace {
					t.Errorf("restart %d: in place %t, old process gone %v, %d answers of a new one", i+1, r.InPlace, r.Gone, r.With.New)
				}
				if k.Paths.Events != "" && r.With.Cut["sse"]["ended"] != 2 {
					t.Errorf("restart %d: event streams ended with %v, want both in order", i+1, r.With.Cut["sse"])
				}
				if r.With.Lost["get"]["refused"] > 0 {
					t.Errorf("restart %d: nobody listened: %v", i+1, r.With.Lost)
				}
			}
		})
	}
}
