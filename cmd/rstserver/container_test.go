package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

var staticProgram = flag.String("program", "", "the static program that TestContainer has in an image; make package-test builds one")

// The image has the program and nothing else, and serves as its user.
func TestContainer(t *testing.T) {
	if *staticProgram == "" {
		t.Skip("needs a static program: make package-test builds it, and runs this")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to build an image with buildah")
	}
	buildah := debian.Program(t, "buildah", "buildah")
	dir := t.TempDir()
	line := deployLines(t, "buildah bud ")
	putProgram(t, *staticProgram, filepath.Join(dir, "bin/dist/rstserver_VERSION_linux_amd64"))
	putProgram(t, "deploy/Containerfile", filepath.Join(dir, "cmd/rstserver/deploy/Containerfile"))
	storage := filepath.Join(dir, "storage.conf")
	lingertest.Must(t, os.WriteFile(storage, fmt.Appendf(nil, "[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", dir+"/store", dir+"/run"), 0o600))
	// What works in containers, too: no overlay and no namespaces.
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage, "BUILDAH_ISOLATION=chroot")
		return cmd
	}
	if out, err := command("sh", "-ec", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", line, err, out)
	}
	out, err := command(buildah, "from", "rstserver").Output()
	lingertest.Must(t, err)
	p := startOnce(t, command(buildah, "run", strings.TrimSpace(string(out)), "--", "/rstserver", "serve", "--addr", "127.0.0.1:0"))
	dial(t, p.addr).expectHello()
	holders, _, err := sockdiag.Holders(p.addr.Port())
	lingertest.Must(t, err)
	if len(holders) != 1 || !holders[0].Socket.Blocks(netip.MustParseAddr("127.0.0.1")) {
		t.Fatalf("the port is held by %v", holders)
	}
	status, err := os.ReadFile("/proc/" + itoa(holders[0].PID) + "/status")
	lingertest.Must(t, err)
	if !strings.Contains(string(status), "\nUid:\t65532\t65532\t65532\t65532\n") || !strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") {
		t.Errorf("it runs as\n%s", status)
	}
	if out, err := exec.Command("kill", "-TERM", itoa(holders[0].PID)).CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	p.exit(0)
	if !strings.Contains(p.stdout.String(), "nothing is left, the port is free") {
		t.Error("there is no report")
	}
	_, _ = command(buildah, "rm", "--all").CombinedOutput()
}
