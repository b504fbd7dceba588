//go:build linux

package bench

import (
	"slices"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

func TestPick(t *testing.T) {
	roster := NewRoster("/bin/rstserver", "peers", "make peers")
	names := func(servers []Server) (all []string) {
		for _, s := range servers {
			all = append(all, s.Name)
		}
		return all
	}
	if got, err := roster.Pick([]string{AllServers}); len(got) != len(roster) || err != nil {
		t.Errorf("%d of %d, %v", len(got), len(roster), err)
	}
	// In the roster's order, and each once.
	got, err := roster.Pick([]string{"nethttp-close", "floor", "nethttp", "floor"})
	if want := []string{"floor", "net/http Close", "net/http Shutdown", "net/http map + SetLinger(0)"}; !slices.Equal(names(got), want) || err != nil {
		t.Errorf("got %q, %v, want %q", names(got), err, want)
	}
	got, err = roster.Pick([]string{"floor", "flor"})
	if got != nil {
		t.Errorf("got %q", names(got))
	}
	lingertest.ExpectError(t, err, `"flor" is no server to compare with`, "floor-linger")
	known := roster.Names()
	for i, name := range known {
		if slices.Contains(known[:i], name) {
			t.Errorf("%s is there twice", name)
		}
		if got, err := roster.Pick([]string{name}); len(got) == 0 || err != nil {
			t.Errorf("Pick(%s) = %q, %v", name, names(got), err)
		}
	}
	// Each has a name of its own, and can be told its port.
	for i, k := range roster {
		if slices.ContainsFunc(roster[:i], func(other Known) bool { return other.Key == k.Key || other.Name == k.Name }) {
			t.Errorf("%s, %s is there twice", k.Key, k.Name)
		}
		for _, timeout := range []string{"--idle-timeout", "--header-timeout", "--write-timeout"} {
			if at := slices.Index(k.Command, timeout); slices.Contains(k.Command, "serve") && (at < 0 || k.Command[at+1] != "24h0m0s") {
				t.Errorf("%s: %q may end connections while others are opened", k.Key, k.Command)
			}
		}
		if !slices.ContainsFunc(k.Command, func(a string) bool { return strings.Contains(a, "{port}") }) || k.Signal == 0 {
			t.Errorf("%s: %q by %v", k.Key, k.Command, k.Signal)
		}
	}
}
