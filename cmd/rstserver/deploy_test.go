package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

// Tests of the commands in deploy/README.md: each is run as it stands there, in a root of its own.

// deployClone is where tests in a root of their own have what a clone has of it, below their directory.
const deployClone = "clone"

// deployBlocks are the parts of deploy/README.md that are to be copied, without their comments.
func deployBlocks(t testing.TB) (blocks []string) {
	t.Helper()
	readme := "deploy/README.md"
	if os.Getenv(insideEnv) != "" {
		readme = "cmd/rstserver/" + readme
	}
	b, err := os.ReadFile(readme)
	lingertest.Must(t, err)
	comment := regexp.MustCompile(`(?m)^ {4}| +# .*$`)
	for _, block := range regexp.MustCompile(`(?m)(?:^ {4}.*\n)+`).FindAllString(string(b), -1) {
		blocks = append(blocks, strings.TrimSpace(comment.ReplaceAllString(block, "")))
	}
	return blocks
}

// deployLines is the block that begins so.
func deployLines(t testing.TB, begins string) string {
	t.Helper()
	for _, block := range deployBlocks(t) {
		if strings.HasPrefix(block, begins) {
			return block
		}
	}
	t.Fatalf("deploy/README.md has no commands that begin with %q", begins)
	return ""
}

// runLines has a shell run what would be pasted to it.
func runLines(t testing.TB, lines string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", lines).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", lines, err, out)
	}
}

// putProgram copies a file, and makes the directories above it.
func putProgram(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	lingertest.Must(t, err)
	lingertest.Must(t, os.MkdirAll(filepath.Dir(to), 0o755))
	lingertest.InstallProgram(t, to, b)
}

// Nothing is to be copied from deploy/README.md that no test has tried, and each unit is named in it.
func TestDeployReadme(t *testing.T) {
	triedBy := map[string]string{
		"install bin/rstserver /usr/local/bin/":  "TestSystemd",
		"dpkg -i bin/dist/rstserver_*_amd64.deb": "TestPackage",
		"systemctl restart rstserver":            "TestSystemd",
		"buildah bud --build-arg PROGRAM=bin/dist/rstserver_VERSION_linux_amd64 -f cmd/rstserver/deploy/Containerfile -t rstserver .": "TestContainer",
		"[Service]": "systemd from 253 on",
	}
	makefile := readText(t, "Makefile")
	for _, block := range deployBlocks(t) {
		first, _, _ := strings.Cut(block, "\n")
		switch {
		case strings.HasPrefix(first, "make "):
			for line := range strings.Lines(block) {
				if target := strings.TrimSpace(strings.TrimPrefix(line, "make ")); !strings.Contains(makefile, "\n"+target+":") {
					t.Errorf("the Makefile has no %s", target)
				}
			}
		case triedBy[first] == "":
			t.Errorf("no test tries %s", block)
		}
	}
	units, err := filepath.Glob("deploy/rstserver*")
	lingertest.Must(t, err)
	for _, unit := range units {
		if !strings.Contains(readText(t, "cmd/rstserver/deploy/README.md"), "("+filepath.Base(unit)+")") {
			t.Errorf("deploy/README.md does not link %s", unit)
		}
	}
}

// restartsBehindHAProxy restarts a unit behind haproxy.cfg, between two other servers, by the commands of deploy/README.md, which have the addresses
// of that file. Nobody loses a request, and HAProxy has the server again.
func restartsBehindHAProxy(t *testing.T) {
	for _, addr := range []string{"10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13"} {
		runLines(t, "ip address add "+addr+"/32 dev lo")
	}
	commands := deployLines(t, "systemctl restart rstserver")
	t.Chdir("cmd/rstserver")
	config := proxyFile(t, "haproxy.cfg")
	args := serverArgs.FindStringSubmatch(config)[1]
	u := unit{t, "rstserver"}
	u.drop("ExecStart=\nExecStart=/usr/local/bin/rstserver " + args + "\n")
	u.ctl("start")
	for _, addr := range []string{"10.0.0.12:", "10.0.0.13:"} {
		startOnce(t, exec.Command("/usr/local/bin/rstserver", strings.Fields(strings.ReplaceAll(args, "10.0.0.11:", addr))...))
	}
	proxy := startProxy(t, config, issue(t, nil, "test"))
	result := untilInTime(t, func() (restartload.Result, bool) {
		l := restartload.Start(restartload.Config{Addr: "10.0.0.10:8000", New: 4, Kept: 4, PostPath: "/echo", Pause: shortPause})
		defer l.Stop()
		lingertest.Wait(t, "it is under load", func() bool { return l.Requests() > 100 })
		began := time.Now()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if out, err := exec.Command("sh", "-ec", commands).CombinedOutput(); err != nil {
				t.Errorf("%s: %v, %s", commands, err, out)
			}
		}()
		lingertest.Wait(t, "HAProxy has noticed that it goes", func() bool { return strings.HasPrefix(proxy.status(0), "DOWN") })
		inTime := time.Since(began) < 5*time.Second // --drain-delay
		<-ended
		lingertest.Wait(t, "HAProxy has noticed that it is back", func() bool { return proxy.status(0) == "UP" })
		return l.Stop(), inTime
	})
	if len(result.Lost) > 0 || tooLittle(result) {
		t.Errorf("%s\n%s", result, u.log())
	} else {
		t.Logf("measured: systemctl restart behind HAProxy under %s", result)
	}
	u.ctl("stop")
}
