package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/sockdiagtest"
)

func TestFreeWithoutTerminal(t *testing.T) {
	p := listen(t, "127.0.0.1")
	p.leave()
	before := p.counts()
	for _, flags := range []string{"", "--stop-owner", "--json"} {
		cmd := launch(t, p.free(strings.Fields(flags)...))
		cmd.exit(2)
		if got := cmd.stderr.String(); cmd.stdout.String() != "" || !strings.Contains(got, "--yes") || !strings.Contains(got, "nothing was touched") ||
			!strings.HasSuffix(got, "Try '"+binary+" free --help'.\n") {
			t.Errorf("stdout, stderr = %q, %q; want nothing, and a hint at --yes", cmd.stdout.String(), got)
		}
	}
	if got := p.counts(); got != before {
		t.Errorf("on the port: %v, want %v as before", got, before)
	}
}

func TestFreeAsks(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	for name, tt := range map[string]struct {
		answer string
		freed  bool
	}{
		"y":           {"y\n", true},
		"yes":         {"Yes\n", true},
		"n":           {"n\n", false},
		"return":      {"\n", false},
		"another":     {"yess\n", false},
		"end of file": {"\x04", false}, // Ctrl-D
	} {
		t.Run(name, func(t *testing.T) {
			p := listen(t, "127.0.0.1")
			p.leave()
			p.Close()
			cmd, keys := onTerminal(t, p.free())
			cmd.asks()
			if got := p.counts().Total(); got != 3 {
				t.Errorf("%d sockets are left before the answer, want 3", got)
			}
			if _, err := keys.Write([]byte(tt.answer)); err != nil {
				t.Fatal(err)
			}
			question := "Destroy 3 sockets (ESTABLISHED 1, FIN_WAIT2 1, TIME_WAIT 1)? [y/N]"
			if tt.freed {
				cmd.exitOnTerminal(0)
				cmd.expectText(question, "destroyed 3 sockets", "is free")
				return
			}
			cmd.exitOnTerminal(1)
			cmd.expectText(question, "nothing was touched", "is not free", "3 sockets are on it")
			if got := p.counts().Total(); got != 3 {
				t.Errorf("%d sockets are left, want 3", got)
			}
			for _, s := range []string{"destroyed", "--stop-owner"} {
				if strings.Contains(cmd.text(), s) {
					t.Errorf("the text has %q:\n%s", s, cmd.text())
				}
			}
		})
	}
}

// TestFreeAsksOnceForAll: the question names the process that is to be stopped.
func TestFreeAsksForTheOwner(t *testing.T) {
	t.Parallel()
	sockdiagtest.NeedDestroy(t)
	p := start(t)
	c := dial(t, p.addr)
	c.expectHello()
	cmd, keys := onTerminal(t, exec.Command(binary, "free", strconv.Itoa(int(p.addr.Port())), "--stop-owner"))
	cmd.asks()
	cmd.expectText(fmt.Sprintf("Send SIGTERM to rstserver (pid %d), and destroy what is left of 1 socket (ESTABLISHED 1)", p.cmd.Process.Pid))
	if _, err := keys.Write([]byte("y\n")); err != nil {
		t.Fatal(err)
	}
	cmd.exitOnTerminal(0)
	p.exit(0)
	expectFree(t, p.addr)
}

// TestFreeOfOtherRoot: the root of a user namespace has all capabilities, but not over the network of the machine.
func TestFreeOfOtherRoot(t *testing.T) {
	p := listen(t, "127.0.0.1")
	p.leave()
	before := p.counts()
	command := p.free()
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if err := (&exec.Cmd{Path: "/bin/true", SysProcAttr: command.SysProcAttr}).Run(); err != nil {
		t.Skipf("needs user namespaces (sysctl user.max_user_namespaces): %v", err)
	}
	cmd, _ := onTerminal(t, command)
	cmd.exitOnTerminal(1)
	cmd.expectText("nothing can be destroyed from here: that needs CAP_NET_ADMIN", "from a container or in a user namespace, as root of the machine")
	if strings.Contains(cmd.text(), "[y/N]") {
		t.Errorf("it asks:\n%s", cmd.text())
	}
	if got := p.counts(); got != before {
		t.Errorf("on the port: %v, want %v as before", got, before)
	}
}

// TestFreeAsksNothing where there is nothing that could be done.
func TestFreeAsksNothing(t *testing.T) {
	p := listen(t, "127.0.0.1")
	cmd, _ := onTerminal(t, p.free())
	cmd.exitOnTerminal(1)
	cmd.expectText(fmt.Sprintf("rstserver.test (pid %d) listens on %s", os.Getpid(), p.addr))
	p.Close()
	cmd, _ = onTerminal(t, p.free())
	cmd.exitOnTerminal(0)
}
