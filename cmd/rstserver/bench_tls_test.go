package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchTLS measures over TLS: servers of this program and one that a user describes, and all forms say that it was.
func TestBenchTLS(t *testing.T) {
	t.Parallel()
	const n = "20"
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var b *benchmark
	ns := inNetwork(t, func() {
		b = startBench(t, benchCommandLine("--tls", "--peers", "rstserver,floor", "--n", n, "--runs", "1", "--settle", "100ms", "--kind", "idle", "--kind", "h2",
			"--server", "name=mine,cmd="+binary+" serve --quiet --addr 127.0.0.1:{port},tls=--tls-cert {cert} --tls-key {key}",
			"--server", "name=always,cmd="+binary+" serve --quiet --addr 127.0.0.1:{port} --tls-self-signed,tls=",
			"--server", "name=plain,cmd="+binary+" serve --quiet --addr 127.0.0.1:{port}",
			"--json", file("a.json"), "--html", file("a.html"), "--markdown", file("a.md")))
	})
	b.exit(0)
	ns.expectNone()
	b.expectNothing()
	expectNarrow(t, b.stdout.String())
	doc := readDocument(t, file("a.json"))
	if len(doc.Cells) != 8 || len(doc.Skipped) != 2 || len(doc.Failed) != 0 {
		t.Fatalf("%d cells, skipped: %v, failed: %v", len(doc.Cells), doc.Skipped, doc.Failed)
	}
	for _, o := range doc.Skipped {
		if o.Server != "plain" || o.Reason != "it is not started with TLS; a server is by what tls=ARGUMENTS adds" {
			t.Errorf("skipped: %+v", o)
		}
	}
	for _, c := range doc.Cells {
		if c.Mix != "idle over TLS" && c.Mix != "h2 over TLS" {
			t.Errorf("%s: %s", c.Server, c.Mix)
		}
		if c.Mix == "idle over TLS" {
			expectRun(t, c.Server, 20, c.Runs[0])
		}
		if c.Runs[0].Endings["reset"] != 20 {
			t.Errorf("%s, %s: told: %v", c.Server, c.Mix, c.Runs[0].Endings)
		}
	}
	for form, content := range map[string]string{"tables": b.stdout.String(), "page": readFile(t, file("a.html")), "Markdown": readFile(t, file("a.md"))} {
		for _, title := range []string{n + " idle connections over TLS", n + " connections, h2 over TLS"} {
			if !strings.Contains(content, title) {
				t.Errorf("the %s do not have %q", form, title)
			}
		}
	}
}
