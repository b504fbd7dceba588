package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/linger/sockdiag"
)

// expectFailedStart expects exit code 1, nothing on stdout, and one line on stderr with all of want.
func (p *process) expectFailedStart(want ...string) {
	p.t.Helper()
	p.exit(1)
	if got := p.stdout.String(); got != "" {
		p.t.Errorf("stdout = %q, want nothing", got)
	}
	if got := p.stderr.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "rstserver: ") {
		p.t.Errorf("stderr = %q, want one line that begins with rstserver", got)
	}
	for _, w := range want {
		if got := p.stderr.String(); !strings.Contains(got, w) {
			p.t.Errorf("stderr = %q, want %q in it", got, w)
		}
	}
}

func TestPortTaken(t *testing.T) {
	p := start(t)
	client := dial(t, p.addr)
	client.expectHello()
	addr := p.addr.String()
	holder := fmt.Sprintf("taken by rstserver (pid %d)", p.cmd.Process.Pid)
	for name, args := range map[string][]string{
		"same address":   {"--addr", addr},
		"all addresses":  {"--addr", ":" + strconv.Itoa(int(p.addr.Port()))},
		"all of IPv4":    {"--addr", "0.0.0.0:" + strconv.Itoa(int(p.addr.Port()))},
		"all, IPv6 form": {"--addr", "[::]:" + strconv.Itoa(int(p.addr.Port()))},
		"with reuseport": {"--addr", addr, "--reuseport"},
	} {
		t.Run(name, func(t *testing.T) {
			second := launch(t, exec.Command(binary, args...))
			second.expectFailedStart(args[1], holder, "--addr", binary+" free "+strconv.Itoa(int(p.addr.Port())))
		})
	}
	// The one that has the port is not touched.
	client.expectHello()
	p.stop()
}

// TestPortTakenNamesNobodyElse: who is on the same port at IPv6 addresses only is not in the way, and not named.
func TestPortTakenNamesNobodyElse(t *testing.T) {
	p := start(t)
	other, err := net.Listen("tcp6", "[::]:"+strconv.Itoa(int(p.addr.Port())))
	if err != nil {
		t.Skipf("needs IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
	}
	defer other.Close()
	second := launch(t, exec.Command(binary, "--addr", p.addr.String()))
	second.expectFailedStart(fmt.Sprintf("taken by rstserver (pid %d): stop that", p.cmd.Process.Pid))
	p.stop()
}

// TestPortTakenByRest is a port of which closed connections are left that nobody allowed to share it.
func TestPortTakenByRest(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener without SO_REUSEADDR")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	c := dial(t, addr)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	conn.Close()
	c.expectEnd()
	c.Close()
	c.waitPeer("TIME_WAIT", func(s sockdiag.Socket) bool { return s.State == sockdiag.TimeWait })
	p := launch(t, exec.Command(binary, "--addr", addr.String()))
	p.expectFailedStart(addr.String(), "TIME_WAIT 1", "wait, for 60 s at the most", "--addr")
}

func TestAddressErrors(t *testing.T) {
	for _, tc := range []struct {
		addr string
		want []string
	}{
		// Of networks that are for documentation (RFC 5737, RFC 3849).
		{"192.0.2.1:8080", []string{"192.0.2.1:8080", "this machine does not have that address"}},
		{"[2001:db8::1]:8080", []string{"[2001:db8::1]:8080"}},
		// A name that does not exist (RFC 6761).
		{"name.invalid:8080", []string{"name.invalid:8080", "the host's address cannot be found"}},
	} {
		t.Run(tc.addr, func(t *testing.T) {
			launch(t, exec.Command(binary, "--addr", tc.addr)).expectFailedStart(tc.want...)
		})
	}
}

func TestErrorAsJSON(t *testing.T) {
	p := launch(t, exec.Command(binary, "--addr", "192.0.2.1:8080", "--log-format", "json"))
	p.exit(1)
	var line struct{ Level, Msg string }
	if err := json.Unmarshal([]byte(p.stderr.String()), &line); err != nil || line.Level != "ERROR" ||
		!strings.Contains(line.Msg, "192.0.2.1:8080") || p.stdout.String() != "" {
		t.Errorf("stdout, stderr = %q, %q; want nothing, and one JSON object with the error", p.stdout.String(), p.stderr.String())
	}
}

// TestLowPort asks for a port for which one needs a right, as somebody who has none.
func TestLowPort(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Skipf("needs /proc/sys, mounted: %v", err)
	}
	start, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if start < 2 {
		t.Skip("every port may be bound by all here: needs sysctl net.ipv4.ip_unprivileged_port_start of 2 or more")
	}
	addr := "127.0.0.1:" + strconv.Itoa(start-1)
	cmd := exec.Command(binary, "--addr", addr)
	if os.Geteuid() == 0 {
		needNobody(t)
		cmd = asNobody(cmd) // with the user the capabilities go
	}
	launch(t, cmd).expectFailedStart(addr, "no right to a port this low", "--addr", "CAP_NET_BIND_SERVICE")
}

func TestMaxConnsBeyondFiles(t *testing.T) {
	cmd := exec.Command("sh", "-c", `ulimit -n 100 && exec "$0" --max-conns 5000 --addr 127.0.0.1:0`, binary)
	launch(t, cmd).expectFailedStart("--max-conns=5000", "is 100", "raise the limit", "lower --max-conns")
	// As many as there is room for are fine.
	p := startLimited(t, "100", "--max-conns", "80")
	dial(t, p.addr).expectHello()
	p.stop()
}

func TestTooManyLoopsForFiles(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", `ulimit -n 40 && exec "$0" --loops 30 --addr 127.0.0.1:0`, binary)
	launch(t, cmd).expectFailedStart("too many open files", "raise the limit", "lower --loops")
}
