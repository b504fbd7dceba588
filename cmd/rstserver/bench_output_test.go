package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchOutputs writes all forms of one measurement, and has --from write them again.
func TestBenchOutputs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a.json", "a.html", "a.md"} {
		// What was there is longer.
		if err := os.WriteFile(file(name), []byte(strings.Repeat("what was there before\n", 20_000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, code := runBench(t, "--peers", "floor", "--n", "20", "--runs", "1", "--json", file("a.json"), "--html", file("a.html"), "--markdown", file("a.md"))
	if code != 0 || b.stderr.String() != "" {
		t.Errorf("exit code, stderr = %d, %q, want 0 and nothing", code, b.stderr.String())
	}
	tables, document, page, markdown := b.stdout.String(), readFile(t, file("a.json")), readFile(t, file("a.html")), readFile(t, file("a.md"))
	for name, content := range map[string]string{"a.json": document, "a.html": page, "a.md": markdown} {
		if content == "" || strings.Contains(content, "what was there before") {
			t.Errorf("%s was not replaced: %d bytes", name, len(content))
		}
	}
	if !json.Valid([]byte(document)) {
		t.Errorf("a.json is no JSON: %s", document)
	}
	if !strings.HasPrefix(page, "<!DOCTYPE html>") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
		t.Errorf("a.html is no page: it is %.100q to %q", page, page[max(0, len(page)-100):])
	}
	for form, content := range map[string]string{"tables": tables, "page": page, "Markdown": markdown} {
		if !strings.Contains(words(content), "floor") || !strings.Contains(words(content), "20 reset") {
			t.Errorf("the %s do not say how the clients of the floor were told", form)
		}
	}
	second := file("b.json")
	if _, code := runBench(t, "--peers", "floor-linger", "--n", "20", "--runs", "1", "--json", second, "--markdown", "/dev/null"); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}

	from := "--from=" + file("a.json")
	for _, tt := range []struct {
		name string
		args []string
		want string // on stdout
	}{
		{"tables", []string{from}, tables},
		{"JSON to stdout", []string{from, "--json=-"}, document},
		{"page to stdout", []string{from, "--html=-"}, page},
		{"Markdown to stdout", []string{from, "--markdown=-"}, markdown},
		{"JSON to a file", []string{from, "--json", file("c.json")}, tables},
		{"Markdown to stdout and a page to a file", []string{from, "--markdown=-", "--html", file("c.html")}, markdown},
	} {
		b, code := runBench(t, tt.args...)
		if code != 0 || b.stderr.String() != "" || b.stdout.String() != tt.want {
			t.Errorf("%s: exit code, stderr = %d, %q; stdout is\n%s\nwant\n%s", tt.name, code, b.stderr.String(), b.stdout.String(), tt.want)
		}
	}
	for name, want := range map[string]string{"c.json": document, "a.json": document, "c.html": page} {
		if got := readFile(t, file(name)); got != want {
			t.Errorf("%s, written by --from, is not what was written at first", name)
		}
	}

	// Several are one page, or one text.
	b, code = runBench(t, from, "--from", second, "--html", file("both.html"), "--markdown", file("both.md"))
	if code != 0 || !strings.HasPrefix(b.stdout.String(), tables+"\n") || !strings.Contains(b.stdout.String()[len(tables):], "floor linger") {
		t.Errorf("exit code = %d; stdout is\n%s\nwant the tables of both", code, b.stdout.String())
	}
	for _, name := range []string{"both.html", "both.md"} {
		if got := readFile(t, file(name)); !strings.Contains(got, "floor linger") || strings.Count(words(got), "20 reset") < 2 {
			t.Errorf("%s does not have both", name)
		}
	}
	stdout, stderr, code := runCommand("bench", from, "--from", second, "--json", file("both.json"))
	expectUsage(t, stdout, stderr, code, "rstserver bench", "--json holds what one call has measured, and --from names 2")
	if _, err := os.Stat(file("both.json")); err == nil {
		t.Error("both.json was made")
	}
}

// TestBenchKeepsWhatItReads: no output replaces the measurement that it comes from, by whichever name, or what another output writes.
func TestBenchKeepsWhatItReads(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if _, code := runBench(t, "--peers", "floor", "--n", "5", "--runs", "1", "--json", file("d.json")); code != 0 {
		t.Fatalf("exit code = %d, want 0", code)
	}
	document := readFile(t, file("d.json"))
	if err := errors.Join(os.Symlink("d.json", file("link")), os.Link(file("d.json"), file("hard"))); err != nil {
		t.Fatal(err)
	}
	bench := func(stdin, stdout string, args ...string) *process {
		cmd := exec.Command("sh", "-c", `exec "$0" bench "$@" `+stdin+" "+stdout, binary)
		cmd.Args, cmd.Dir = append(cmd.Args, args...), dir
		return launchAs(t, cmd)
	}
	for _, tt := range []struct {
		stdin, stdout string
		args          []string
		want          string // of stderr, or "" for success
	}{
		{"", "", []string{"--from", "d.json", "--html", "d.json"}, "--html: d.json is what --from=d.json reads, and would be lost"},
		{"", "", []string{"--from", "d.json", "--json", "d.json"}, "--json: d.json is what --from=d.json reads"},
		{"", "", []string{"--from", "link", "--markdown", "hard"}, "--markdown: hard is what --from=link reads"},
		{"<d.json", "", []string{"--from", "-", "--html", "d.json"}, "--html: d.json is what --from=- reads"},
		{"<d.json", "1<>d.json", []string{"--from", "-"}, "stdout: the shell's > is what --from=- reads"},
		{"", ">>out", []string{"--from", "d.json", "--html", "out"}, "--html: out is what stdout is written to"},
		{"", "", []string{"--from", "d.json", "--html", "out", "--markdown", "out"}, "--markdown: out is what --html writes"},
		{"</dev/null", "", []string{"--from", "-", "--from", "-"}, "--from=-: "},
		{"<d.json", "", []string{"--from", "-", "--from", "-"}, "--from=-: it is there twice"},
		{"<d.json", "", []string{"--from=-", "--json=-"}, ""},
	} {
		p := bench(tt.stdin, tt.stdout, tt.args...)
		code, stderr := p.wait(), p.stderr.String()
		switch {
		case tt.want == "" && (code != 0 || p.stdout.String() != document):
			t.Errorf("%q: exit code = %d, stderr %q, and stdout is not the document", tt.args, code, stderr)
		case tt.want != "" && (code != exitUsage || !strings.Contains(stderr, tt.want)):
			t.Errorf("%q: exit code, stderr = %d, %q, want 2, %q", tt.args, code, stderr, tt.want)
		}
		if got := readFile(t, file("d.json")); got != document {
			t.Fatalf("%q: what it reads has been changed", tt.args)
		}
	}
}

func TestBenchFromErrors(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.html")
	for name, tt := range map[string]struct{ content, want string }{
		"empty":           {"", "unexpected end of JSON input; a document is what rstserver bench --json writes"},
		"text":            {"rstserver bench", "invalid character 'r'"},
		"other JSON":      {`{"port": 1}`, `no member "version"; a document is what rstserver bench --json writes`},
		"another version": {`{"version": 99}`, "version 99 of the format, this program reads version 1; use the program that wrote it, or measure again"},
		"cut off":         {`{"version": 1, "cells": [`, "unexpected end of JSON input"},
		"wrong type":      {`{"version": 1, "cells": {}}`, "cannot unmarshal object"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "in.json")
			if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := runCommand("bench", "--from", file, "--html", out)
			expectUsage(t, stdout, stderr, code, "rstserver bench", "--from="+file+": report: ")
			expectUsage(t, stdout, stderr, code, "rstserver bench", tt.want)
			if _, err := os.Stat(out); err == nil {
				t.Error("the page was made")
			}
		})
	}
}

// TestBenchUnwritable: a file cannot be opened, and later one that was opened cannot be written to.
func TestBenchUnwritable(t *testing.T) {
	dir := t.TempDir()
	second := filepath.Join(dir, "b.md")
	cmd := benchCommandLine("--peers", "floor", "--n", "5", "--runs", "1", "--json", "/dev/full", "--markdown", second)
	b := startBench(t, cmd)
	b.exit(1)
	if got := b.stderr.String(); got != "rstserver: --json: write /dev/full: no space left on device\n" {
		t.Errorf("stderr = %q, want that --json cannot be written", got)
	}
	if !strings.Contains(words(readFile(t, second)), "5 reset") || b.stdout.count("5 reset") == 0 {
		t.Error("the other forms were not written")
	}

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("needs /dev/full: %v", err)
	}
	defer full.Close()
	for _, args := range [][]string{nil, {"--json=-"}} {
		cmd := exec.Command(binary, append([]string{"bench", "--peers", "floor", "--n", "5", "--runs", "1", "--html", filepath.Join(dir, "c.html")}, args...)...)
		var stderr output
		cmd.Stdout, cmd.Stderr = full, &stderr
		launch(t, cmd).exit(1)
		if !strings.Contains(stderr.String(), "no space left on device") || stderr.count("") != 1 {
			t.Errorf("%q: stderr = %q, want one line that says why stdout cannot be written", args, stderr.String())
		}
		if !strings.Contains(words(readFile(t, filepath.Join(dir, "c.html"))), "5 reset") {
			t.Errorf("%q: the page was not written", args)
		}
	}
}
