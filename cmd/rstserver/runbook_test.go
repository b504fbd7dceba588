package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

const alertsFile, runbookFile = "deploy/alerts.yml", "deploy/runbook.md"

// Prometheus' own tool has no objection to the rules, nor to the names and units of all that is scraped.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		const missing = "promtool is missing: make deps, or apt-get install prometheus"
		if os.Getenv("RSTSERVER_DEPS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	if out, err := exec.Command(promtool, "check", "rules", alertsFile).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	f := startFronted(t)
	_, text := get(t, f.health+"/metrics")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	f.stop()
}

// Each alert has its place in the runbook and the other way round, and what they name there is.
func TestRunbook(t *testing.T) {
	alerts, err := os.ReadFile(alertsFile)
	lingertest.Must(t, err)
	runbook, err := os.ReadFile(runbookFile)
	lingertest.Must(t, err)
	names := regexp.MustCompile(`Rstserver[A-Z]\w+`)
	var headings []string
	for line := range strings.Lines(string(runbook)) {
		if strings.HasPrefix(line, "## ") {
			headings = append(headings, names.FindAllString(line, -1)...)
		}
	}
	var rules []string
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1) {
		rules = append(rules, m[1])
	}
	slices.Sort(headings)
	slices.Sort(rules)
	if !slices.Equal(headings, rules) || len(rules) < 10 {
		t.Errorf("the runbook is about %q, and the alerts are %q", headings, rules)
	}

	f := startFronted(t)
	status, text := get(t, f.health+"/metrics")
	if status != 200 {
		t.Fatalf("/metrics answers %d", status)
	}
	for _, name := range regexp.MustCompile(`rstserver_[a-z0-9_]+`).FindAllString(string(alerts)+string(runbook), -1) {
		if !strings.Contains(text, "\n"+strings.TrimSuffix(name, "_bucket")) {
			t.Errorf("there is no metric %s", name)
		}
	}
	// Every command of the runbook is understood: what it says is about the socket that is not there.
	for line := range strings.Lines(string(runbook)) {
		command, _, _ := strings.Cut(strings.TrimSpace(line), "#")
		if !strings.HasPrefix(line, "    rstserver ") {
			continue
		}
		args := append(strings.Fields(command)[1:], "--admin", "unix:"+t.TempDir()+"/none")
		if slices.Contains(args, "--abort") || slices.Contains(args, "--close") {
			args = append(args, "--yes")
		}
		if _, stderr, code := runCommand(args...); code != exitFailed || !strings.Contains(stderr, "there is no such socket") {
			t.Errorf("%s: exit code %d, %s", command, code, stderr)
		}
	}
	f.stop()
}
