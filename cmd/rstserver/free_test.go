package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

func TestFree(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	for name, address := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) {
			p := listen(t, address)
			c := p.leave()
			p.Close()
			cmd := launch(t, p.free("--yes"))
			cmd.exit(0)
			c.expectReset()
			if err := linger.CheckFree(p.addr); err != nil {
				t.Errorf("the port is not free: %v", err)
			}
			want := fmt.Sprintf(`^port %[1]d:
  SOCKETS  STATE        PROCESS +LOCAL ADDRESS
        1  ESTABLISHED  rstserver\.test \(pid %[2]d\) +%[3]s
        1  FIN_WAIT2    none: closed +%[3]s
        1  TIME_WAIT    none: closed +%[3]s
destroyed 3 sockets
port %[1]d is free: 0\.0\.0\.0:%[1]d( and \[::\]:%[1]d)? could be bound without SO_REUSEADDR
$`, p.addr.Port(), os.Getpid(), regexp.QuoteMeta(p.addr.Addr().String()))
			if got := cmd.stdout.String(); !regexp.MustCompile(want).MatchString(got) || cmd.stderr.String() != "" {
				t.Errorf("stdout, stderr = %s, %q, want %s", got, cmd.stderr.String(), want)
			}
		})
	}
}

func TestFreeOfFreePort(t *testing.T) {
	p := listen(t, "127.0.0.1")
	p.Close()
	for _, flag := range []string{"--yes", "--dry-run"} {
		cmd := launch(t, p.free(flag))
		cmd.exit(0)
		cmd.expectText("nothing is on it in this network namespace", "is free: 0.0.0.0:"+strconv.Itoa(int(p.addr.Port())))
	}
}

func TestFreeDryRun(t *testing.T) {
	p := listen(t, "127.0.0.1")
	p.leave()
	before := p.counts()
	cmd := launch(t, p.free("--dry-run", "--yes", "--stop-owner"))
	cmd.exit(1)
	cmd.expectText(fmt.Sprintf("would send SIGTERM to rstserver.test (pid %d)", os.Getpid()),
		"would destroy 3 sockets (ESTABLISHED 1, FIN_WAIT2 1, TIME_WAIT 1)",
		fmt.Sprintf("is not free: rstserver.test (pid %d) listens on %s", os.Getpid(), p.addr), "3 sockets are on it")
	if got := p.counts(); got != before {
		t.Errorf("on the port: %v, want %v as before", got, before)
	}
}

// TestFreeWithListener: everything but the listening socket goes, and its process is named.
func TestFreeWithListener(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	p := start(t)
	c := dial(t, p.addr)
	c.expectHello()
	cmd := launch(t, exec.Command(binary, "free", strconv.Itoa(int(p.addr.Port())), "--yes"))
	cmd.exit(1)
	c.expectReset()
	cmd.expectText("destroyed 1 socket", fmt.Sprintf("is not free: rstserver (pid %d) listens on %s", p.cmd.Process.Pid, p.addr), "--stop-owner")
	dial(t, p.addr).expectHello() // it serves on
	p.stop()
}

func TestFreeWithoutPrivilege(t *testing.T) {
	needNobody(t)
	p := listen(t, "127.0.0.1")
	p.leave()
	before := p.counts()
	cmd := launch(t, asNobody(p.free("--yes")))
	cmd.exit(1)
	cmd.expectText("not destroyed: 3 sockets (ESTABLISHED 1, FIN_WAIT2 1, TIME_WAIT 1): that needs CAP_NET_ADMIN", "sudo",
		"a process that cannot be seen from here holds it")

	// The question would be in vain.
	cmd, _ = onTerminal(t, asNobody(p.free()))
	cmd.exitOnTerminal(1)
	cmd.expectText("nothing can be destroyed from here: that needs CAP_NET_ADMIN")
	if strings.Contains(cmd.text(), "[y/N]") {
		t.Errorf("it asks:\n%s", cmd.text())
	}
	if got := p.counts(); got != before {
		t.Errorf("on the port: %v, want %v as before", got, before)
	}
	// What needs no right works.
	p2 := listen(t, "127.0.0.1")
	p2.Close()
	launch(t, asNobody(p2.free("--yes"))).exit(0)
}

// TestFreeMany frees a port of five thousand sockets in TIME_WAIT, which a bind without SO_REUSEADDR shows.
func TestFreeMany(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	const n = 5000
	p := listen(t, "127.0.0.1")
	done := lingertest.OnOneProcessor(t)
	lingertest.DialEach(t, p.addr, n, func(c *net.TCPConn) {
		conn, err := p.Accept()
		lingertest.Must(t, err)
		conn.Close()
		c.Close()
	})
	done()
	p.wait(sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: n})
	p.Close()
	if err := linger.CheckFree(p.addr); err == nil {
		t.Error("the port is free before")
	}
	cmd := launch(t, p.free("--yes"))
	cmd.exit(0)
	cmd.expectText("5,000 TIME_WAIT none: closed", "destroyed 5,000 sockets")
	if err := linger.CheckFree(p.addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}
