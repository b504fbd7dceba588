package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

func TestBenchHelp(t *testing.T) {
	for _, columns := range []string{"", "60", "100", "500"} {
		cmd := exec.Command(binary, "bench", "--help")
		cmd.Env = append(cmd.Environ(), "COLUMNS="+columns)
		var stdout, stderr output
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil || stderr.String() != "" {
			t.Errorf("%v, stderr = %q", err, stderr.String())
		}
		expectNarrow(t, stdout.String())
		text := words(stdout.String())
		explained := func(name, by string) {
			t.Helper()
			if !strings.Contains(text, words("- "+name+": "+by)) {
				t.Errorf("COLUMNS=%s: %s is not explained", columns, name)
			}
		}
		for _, d := range report.Definitions() {
			explained(d.Name, d.Text)
		}
		for _, k := range kinds.All() {
			explained(string(k), k.About())
		}
		for _, d := range report.RestartDefinitions() {
			explained(d.Name, d.Text)
		}
		for _, k := range kinds.AtWork() {
			explained(string(k), k.AboutWork())
		}
		for _, d := range bench.Deeds() {
			explained(d.Usage, d.About)
		}
		for _, k := range bench.NewRestartRoster("", "", "") {
			explained(k.Key, k.Way.Text+": "+k.About)
		}
		roster := bench.NewRoster("", "", "")
		for _, k := range roster {
			explained(k.Key, k.About)
		}
		for _, name := range append(roster.Names(), serverKeyNames()...) {
			explained(name, "")
		}
		for _, flag := range strings.Fields("--n=N,... --kind=KIND --tls --runs=N --wire=N --peers=NAME,... --peers-dir=DIR --server=SPEC --settle=D --timeout=D --late=D " +
			"--restart=WAY --restarts=N --rate=N --window=D " +
			"--json=FILE --html=FILE --markdown=FILE --from=FILE") {
			if !strings.Contains(stdout.String(), "      "+flag+" ") {
				t.Errorf("COLUMNS=%s: %s is not explained", columns, flag)
			}
		}
		for _, want := range []string{"Exit codes: 0 when ", "; 1 when a server failed", "; 2 for wrong usage", "; 128 and the signal's number", "make peers puts them into --peers-dir"} {
			if !strings.Contains(text, want) {
				t.Errorf("COLUMNS=%s: the help does not say %q", columns, want)
			}
		}
	}
}

// serverKeyNames are the keys of --server, as errors name them.
func serverKeyNames() []string {
	var names []string
	for _, m := range regexp.MustCompile(`([a-z]+)=`).FindAllStringSubmatch(serverUsage, -1) {
		names = append(names, m[1])
	}
	return names
}

// TestHelpNamesCommands: the program's help names the commands for users, and only these.
func TestHelpNamesCommands(t *testing.T) {
	stdout, _, _ := runCommand("--help")
	want := "Usage: rstserver [serve] [flags]\n"
	for _, c := range []string{"bench", "connections", "drain", "release", "abort", "handover", "limits", "free <port> ..."} {
		want += "       rstserver " + c + " [flags]\n"
	}
	want += "\n"
	if !strings.HasPrefix(stdout, want) {
		t.Errorf("the help begins with %.400q, want %q", stdout, want)
	}
}
