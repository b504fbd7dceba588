package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

func TestGraceWarnings(t *testing.T) {
	s := time.Second
	for _, tc := range []struct {
		name string
		c    serveCommand
		want []string // a part of each
	}{
		{"not known", serveCommand{OnTerm: "drain", DrainTimeout: 100 * s}, nil},
		{"fits", serveCommand{Grace: 30 * s, OnTerm: "drain", DrainDelay: 5 * s, DrainSpread: 5 * s, DrainTimeout: 29 * s}, nil},
		{"none", serveCommand{Grace: s, OnTerm: "drain", DrainTimeout: 30 * s}, []string{"--grace=1s leaves no time for a drain"}},
		{"none for a drain without a limit", serveCommand{Grace: s / 2, OnTerm: "drain"}, []string{"--grace=500ms leaves no time for a drain"}},
		{"a second too long", serveCommand{Grace: 30 * s, OnTerm: "drain", DrainTimeout: 30 * s}, []string{"lower the timeout to 29s"}},
		{"no limit", serveCommand{Grace: 30 * s, OnTerm: "drain"}, []string{"set --drain-timeout to 29s"}},
		{"nothing for answers", serveCommand{Grace: 30 * s, OnTerm: "drain", DrainDelay: 10 * s, DrainSpread: 10 * s, DrainTimeout: 20 * s},
			[]string{"add up to 20.5s, and the drain ends after 20s"}},
		{"both", serveCommand{Grace: 5 * s, OnTerm: "drain", DrainDelay: 5 * s, DrainTimeout: 30 * s},
			[]string{"lower the timeout to 4s", "add up to 5.5s, and the drain ends after 5s"}},
		{"an abort has none of it", serveCommand{Grace: s, OnTerm: "abort", DrainTimeout: 30 * s}, nil},
		{"a delay that is for nothing", serveCommand{Grace: 30 * s, OnTerm: "abort", DrainDelay: s, DrainTimeout: 29 * s}, []string{"add --on-term drain"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.c.graceWarnings()
			for i, want := range tc.want {
				if i >= len(got) || !strings.Contains(got[i], want) {
					t.Errorf("it warns %q, want %q", got, tc.want)
					break
				}
			}
			if len(got) != len(tc.want) {
				t.Errorf("it warns %q, want %q", got, tc.want)
			}
		})
	}
}

// The flag is in effect, and negative ones are refused.
func TestGrace(t *testing.T) {
	p := start(t, "--grace", "10s", "--on-term", "drain")
	p.waitLog("level=WARN", "--drain-timeout=30s", "--grace=10s")
	p.stop()
	if _, stderr, code := runCommand("serve", "--grace=-1s"); code != exitUsage || !strings.Contains(stderr, "--grace=-1s: it must not be negative") {
		t.Errorf("--grace=-1s = %d, %s", code, stderr)
	}
}

// kubernetesArgs are those of the container in deploy.
func kubernetesArgs(t testing.TB) (args []string, yaml string) {
	t.Helper()
	b, err := os.ReadFile("deploy/kubernetes.yaml")
	lingertest.Must(t, err)
	for _, m := range regexp.MustCompile(`(?m)^            - (serve|--\S+)$`).FindAllStringSubmatch(string(b), -1) {
		args = append(args, m[1])
	}
	if len(args) < 5 || args[0] != "serve" {
		t.Fatalf("the arguments are %q", args)
	}
	return args, string(b)
}

// What Kubernetes starts drains within its grace, which it says, and is not ready from the first moment on, while it still accepts.
func TestKubernetesArgs(t *testing.T) {
	t.Parallel()
	args, yaml := kubernetesArgs(t)
	if grace := regexp.MustCompile(`terminationGracePeriodSeconds: (\d+)\n`).FindStringSubmatch(yaml); grace == nil || !strings.Contains(yaml, "--grace="+grace[1]+"s\n") {
		t.Errorf("--grace is not terminationGracePeriodSeconds, %q", grace)
	}
	for i, arg := range args {
		args[i] = strings.NewReplacer("--addr=:8080", "--addr=127.0.0.1:0", "--health=:9900", "--health=127.0.0.1:0", "--log-format=json", "--log-format=text",
			"--drain-spread=5s", "--drain-spread=50ms").Replace(arg)
	}
	f := &fronted{t: t, admin: "unix:" + t.TempDir() + "/admin"}
	f.process = start(t, append(args, "--admin", f.admin)...)
	f.findHealth()
	if status, _ := get(t, f.health+"/readyz"); status != 200 {
		t.Errorf("/readyz = %d", status)
	}
	f.signal(syscall.SIGTERM)
	lingertest.Wait(t, "it is not ready", func() bool { status, _ := get(t, f.health+"/readyz"); return status == 503 })
	dial(t, f.addr).expectHello()
	if n := f.stderr.count("level=WARN"); n > 0 {
		t.Errorf("%d warnings", n)
	}
	if out, code := f.run("abort"); code != 0 {
		t.Errorf("abort: %s", out)
	}
	f.exit(0)
}

// The table in deploy/README.md is what the code adds up.
func TestGraceTable(t *testing.T) {
	readme, err := os.ReadFile("deploy/README.md")
	lingertest.Must(t, err)
	_, yaml := kubernetesArgs(t)
	value := func(flag string) time.Duration {
		m := regexp.MustCompile(`--` + flag + `=(\S+)`).FindStringSubmatch(yaml)
		if m == nil {
			t.Fatalf("deploy/kubernetes.yaml has no --%s", flag)
		}
		d, err := time.ParseDuration(m[1])
		lingertest.Must(t, err)
		return d
	}
	c := serveCommand{Grace: value("grace"), OnTerm: "drain", DrainDelay: value("drain-delay"), DrainSpread: value("drain-spread"), DrainTimeout: value("drain-timeout")}
	p := c.drainParts()
	var b strings.Builder
	b.WriteString("| from | to | what | set by |\n| --- | --- | --- | --- |\n")
	at := time.Duration(0)
	row := func(d time.Duration, what, by string) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", at, at+d, what, by)
		at += d
	}
	row(p.Delay, "it accepts still, each answer is its connection's last, and `/readyz` is 503", "`--drain-delay`")
	row(p.Queue, "the port refuses; who was queued is answered", fmt.Sprintf("%s at the most", poller.DefaultQueue))
	row(p.Spread, "idle connections are reset, one after the other", "`--drain-spread`")
	row(p.Timeout-at, "answers in flight are finished", "`--drain-timeout`, of all so far")
	row(c.Grace-at, "the rest is aborted, the report is printed, the process ends", "`--grace`, which is terminationGracePeriodSeconds")
	if !strings.Contains(string(readme), b.String()) {
		t.Errorf("deploy/README.md lacks\n%s", b.String())
	}
	if w := c.graceWarnings(); len(w) > 0 {
		t.Errorf("it warns %q", w)
	}
}
