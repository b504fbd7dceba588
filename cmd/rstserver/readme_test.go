package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The README's program is one that compiles.
func TestReadmeProgram(t *testing.T) {
	_, program, found := strings.Cut(readme(t), "```go\n")
	program, _, found2 := strings.Cut(program, "```\n")
	if !found || !found2 {
		t.Fatal("README.md has no Go program")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The README's flags are those that the commands have.
func TestReadmeFlags(t *testing.T) {
	var help strings.Builder
	for _, args := range [][]string{{"--help"}, {"free", "--help"}, {"bench", "--help"}} {
		if code := run(args, &help, &help); code != exitOK {
			t.Fatalf("%q exits with %d", args, code)
		}
	}
	flags := regexp.MustCompile(`--[a-z-]+`)
	listed := regexp.MustCompile(`(?m)^(?:  -[a-z], |      )(--[a-z-]+)`) // and not those in examples of the help
	documented := make(map[string]bool)
	for line := range strings.Lines(readme(t)) {
		if strings.HasPrefix(line, "| `--") {
			documented[flags.FindString(line)] = true
		}
	}
	var all []string // some are there more than once
	for _, m := range listed.FindAllStringSubmatch(help.String(), -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	for _, flag := range slices.Compact(all) {
		if flag != "--help" && !documented[flag] {
			t.Errorf("README.md does not list %s", flag)
		}
		delete(documented, flag)
	}
	for flag := range documented {
		t.Errorf("README.md lists %s, which no command has", flag)
	}
}
