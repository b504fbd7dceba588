//go:build linux

package servers

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"rstserver/linger/interop/internal/fleet"
)

var update = flag.Bool("update", false, "write the table of linger/README.md")

// TestServers tries each server, and makes the table of linger/README.md: a row is a server that stands both tests.
func TestServers(t *testing.T) {
	var rows []string
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			states := f.states(t)
			aborted, drained := 4*len(states), 2*len(states)
			t.Run("Abort", func(t *testing.T) { fleet.AbortsAll(t, f.start(t), aborted, states) })
			t.Run("Drain", func(t *testing.T) { fleet.EndsAll(t, f.start(t), drained, states) })
			var names []string
			for _, st := range states {
				names = append(names, st.Name)
			}
			slices.Sort(names)
			rows = append(rows, fmt.Sprintf("| %s | %s | %s | %d of %d read ECONNRESET, port free | %d of %d told, port given up |\n", f.name,
				version(t, "go.mod", f.module), strings.Join(names, "; "), aborted, aborted, drained, drained))
		})
	}
	switch {
	case t.Failed():
		t.Log("the table has what holds, and is not looked at")
	case len(rows) < len(foreigners):
		t.Log("with -run only some servers were tried, and the table is not looked at")
	default:
		rows = append(rows, fmt.Sprintf("| tableflip | %s | idle, at the successor after an upgrade | the same after kill -9: TestTableflip of linger/interop | |\n",
			version(t, "../go.mod", "github.com/cloudflare/tableflip")))
		keep(t, "| server | version | states of its connections | `Abort` | `Drain`, at its deadline |\n| --- | --- | --- | --- | --- |\n"+strings.Join(rows, ""))
	}
}

// keep compares the table with the one in linger/README.md, or writes it there.
func keep(t *testing.T, table string) {
	t.Helper()
	const readme, begin, end = "../../README.md", "<!-- the table that linger/interop/servers makes -->\n", "<!-- its end -->\n"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), begin)
	old, tail, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Fatalf("%s has no room for the table", readme)
	case *update:
		if err := os.WriteFile(readme, []byte(head+begin+table+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("the table in %s is\n%s\nwant\n%s\nas -update writes it", readme, old, table)
	}
}

// version is the one of a module that a go.mod requires.
func version(t *testing.T, goMod, module string) string {
	t.Helper()
	if module == "" {
		return "Go's own"
	}
	text, err := os.ReadFile(goMod)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == module {
			return module + " " + f[1]
		}
	}
	t.Fatalf("%s does not require %s", goMod, module)
	return ""
}
