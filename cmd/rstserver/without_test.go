package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
)

// lack is something that a process is to do without.
type lack struct {
	name string
	// shell takes it away, and ends with exec "$0" "$@".
	shell string
	args  []string // of the command
	serve bool     // it serves all the same
	says  string   // in its log, its report or its error
}

// All rights but those in kept are taken from a process of root's, for good.
func withRights(kept string) string {
	return `exec setpriv --bounding-set=-all` + kept + ` --inh-caps=-all --no-new-privs "$0" "$@"`
}

var lacks = []lack{
	{name: "CAP_NET_BIND_SERVICE", shell: `ip link set lo up && ` + withRights(""), args: []string{"serve", "--addr", "127.0.0.1:81"},
		says: "no right to a port this low: choose one from 1024 with --addr, or give the program CAP_NET_BIND_SERVICE"},
	{name: "all but CAP_NET_BIND_SERVICE", shell: `ip link set lo up && ` + withRights(",+net_bind_service"), args: []string{"serve", "--addr", "127.0.0.1:81"}, serve: true,
		says: "nothing is left, the port is free"},
	{name: "a root that can be written to", shell: `ip link set lo up && mount -o remount,bind,ro / && { mount -o remount,bind,ro /tmp 2>/dev/null || true; } && exec "$0" "$@"`,
		args: []string{"serve", "--addr", "127.0.0.1:8080"}, serve: true, says: "nothing is left, the port is free"},
}

// What the command does, and says, without rights and files that it has elsewhere. deploy/README.md has a table of it, with the tests of the rest.
func TestWithout(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to take rights away from it in a namespace")
	}
	unshare := debian.Program(t, "unshare", "util-linux")
	debian.Program(t, "setpriv", "util-linux")
	debian.Program(t, "ip", "iproute2")
	for _, l := range lacks {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(unshare, append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", l.shell, binary}, l.args...)...)
			if !l.serve {
				out, err := cmd.CombinedOutput()
				if err == nil || !strings.Contains(words(string(out)), l.says) {
					t.Errorf("%v, %s\nwant %q", err, out, l.says)
				}
				return
			}
			p := launch(t, cmd)
			lingertest.Wait(t, "it listens", func() bool { return len(p.stdout.lines()) > 1 })
			// It is PID 1 there, and unshare passes no signal on.
			children, err := os.ReadFile("/proc/" + itoa(cmd.Process.Pid) + "/task/" + itoa(cmd.Process.Pid) + "/children")
			lingertest.Must(t, err)
			pid := regexp.MustCompile(`\d+`).FindString(string(children))
			if out, err := exec.Command("kill", "-TERM", pid).CombinedOutput(); err != nil {
				t.Fatalf("%v, %s", err, out)
			}
			p.exit(0)
			if said := words(p.stdout.String() + p.stderr.String()); !strings.Contains(said, l.says) {
				t.Errorf("it says %s\nwant %q", said, l.says)
			}
		})
	}
}
