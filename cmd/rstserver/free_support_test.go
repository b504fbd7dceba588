package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"rstserver/internal/layout"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func needRoot(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, " + why)
	}
}

// needNobody skips the test where nobody, an ordinary user, cannot be had, or cannot run the programs of the tests.
func needNobody(t testing.TB) {
	t.Helper()
	needRoot(t, "to run the command as somebody else")
	for dir := filepath.Dir(binary); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&1 == 0 {
			t.Skipf("needs a directory for temporary files that every user can enter, which %s is not: set TMPDIR to another, or chmod o+x it", dir)
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
}

// asNobody runs the command without a privilege, for which a test needs nobody.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// port is a listening socket of the test's own, and what is on its port.
type port struct {
	*net.TCPListener
	t    testing.TB
	addr netip.AddrPort
}

func listen(t testing.TB, address string) *port {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(netip.MustParseAddr(address), sockdiagtest.OwnPort(t)).String())
	if err != nil {
		t.Skipf("cannot listen on %s: IPv6 may be off (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", address, err)
	}
	t.Cleanup(func() { ln.Close() })
	return &port{ln.(*net.TCPListener), t, ln.Addr().(*net.TCPAddr).AddrPort()}
}

func (p *port) counts() sockdiag.Counts {
	p.t.Helper()
	c, _, err := sockdiag.Count(p.addr.Port())
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *port) wait(want sockdiag.Counts) {
	p.t.Helper()
	lingertest.Wait(p.t, want.String(), func() bool { return p.counts() == want })
}

// connect returns both ends of a connection. The client's end resets it.
func (p *port) connect() (c *client, conn *net.TCPConn) {
	p.t.Helper()
	c = dial(p.t, p.addr)
	if err := c.SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	conn, err := p.AcceptTCP()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return c, conn
}

// leave makes one connection each that is established, in FIN_WAIT2 without a descriptor, and in TIME_WAIT.
func (p *port) leave() (established *client) {
	p.t.Helper()
	c, conn := p.connect()
	conn.Close()
	p.wait(sockdiag.Counts{sockdiag.Listen: 1, sockdiag.FinWait2: 1})
	if err := c.CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
	p.wait(sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: 1})
	_, conn = p.connect()
	conn.Close()
	established, _ = p.connect()
	p.wait(sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1})
	return established
}

// free is the command that frees the port.
func (p *port) free(flags ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{"free", strconv.Itoa(int(p.addr.Port()))}, flags...)...)
}

// expectText checks what the command has printed: all parts, in lines of at most 100 columns.
func (p *process) expectText(parts ...string) {
	p.t.Helper()
	text := p.text()
	words := strings.Join(strings.Fields(text), " ") // however it was wrapped
	for _, part := range parts {
		if !strings.Contains(words, part) {
			p.t.Errorf("the text lacks %q:\n%s", part, text)
		}
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > layout.Usual {
			p.t.Errorf("line of %d columns: %s", n, line)
		}
	}
}

// launchAs is launch for a program that is not ours, and takes no flags of ours.
func launchAs(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
	})
	return p
}

func listenAt(t testing.TB, addr netip.AddrPort) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return addr
}
