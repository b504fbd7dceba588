package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

// handOver starts a program that has the listening socket of p in place of this process.
func (p *port) handOver(program ...string) *process {
	p.t.Helper()
	file, err := p.File()
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	p.Close()
	owner := exec.Command(program[0], program[1:]...)
	owner.ExtraFiles = []*os.File{file}
	return launchAs(p.t, owner)
}

// TestFreeOfStoppedOwner: one that was stopped by Ctrl-Z is named as that, with the way on, and SIGKILL ends it.
func TestFreeOfStoppedOwner(t *testing.T) {
	p := listen(t, "127.0.0.1")
	owner := p.handOver("sleep", "60")
	pid := owner.cmd.Process.Pid
	owner.signal(syscall.SIGSTOP)
	lingertest.Wait(t, "the owner is stopped", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return strings.Contains(string(stat), ") T ")
	})
	cmd := launch(t, p.free("--yes", "--stop-owner", "--wait", "50ms"))
	cmd.exit(1)
	cmd.expectText(fmt.Sprintf("sleep (pid %d) was sent SIGTERM: it has not let go of the port in 50ms", pid), "it is stopped, as by Ctrl-Z",
		fmt.Sprintf("kill -CONT %d", pid))
	cmd = launch(t, p.free("--yes", "--stop-owner", "--signal", "KILL"))
	cmd.exit(0)
	cmd.expectText(fmt.Sprintf("sleep (pid %d) was sent SIGKILL, and has let go of the port", pid))
	<-owner.ended
	if status := owner.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("the owner ended with %v, want SIGKILL", owner.cmd.ProcessState)
	}
}

// TestFreeInContainer: a PID namespace of its own, with the network of the machine, sees the socket and not the process.
func TestFreeInContainer(t *testing.T) {
	unshare := debian.Program(t, "unshare", "util-linux")
	if os.Getuid() != 0 {
		t.Skip("needs root, for a PID namespace")
	}
	p := listen(t, "127.0.0.1")
	free := p.free("--yes")
	cmd := launch(t, exec.Command(unshare, append([]string{"--pid", "--fork", "--mount-proc", "--kill-child"}, free.Args...)...))
	cmd.exit(1)
	cmd.expectText("it is outside of this container, or PID namespace; on the machine itself", "rstserver free "+strconv.Itoa(int(p.addr.Port())))
}

// TestFreeOfSocketInTransit: no process has the socket, as it was sent and not received. Root is not told that root could see more.
func TestFreeOfSocketInTransit(t *testing.T) {
	needRoot(t, "to see that no process has it")
	p := listen(t, "127.0.0.1")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "sends"), os.NewFile(uintptr(pair[1]), "receives")
	defer ours.Close()
	receiver := exec.Command("sleep", "60")
	receiver.ExtraFiles = []*os.File{theirs}
	waiting := launchAs(t, receiver)
	theirs.Close()
	file, err := p.File()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(pair[0], nil, unix.UnixRights(int(file.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	file.Close()
	p.Close()
	cmd := launch(t, p.free("--yes"))
	cmd.exit(1)
	cmd.expectText("a process that cannot be seen from here holds it", "in transit")
	// Other programs of the machine may have descriptors that wait, too.
	if !regexp.MustCompile(fmt.Sprintf(`(?m)^ +(kill|ps -fp)[ 0-9,]* ?\b%d\b`, receiver.Process.Pid)).MatchString(cmd.text()) {
		t.Errorf("the text lacks pid %d:\n%s", receiver.Process.Pid, cmd.text())
	}
	if strings.Contains(cmd.text(), "sudo") || strings.Contains(cmd.text(), "root") {
		t.Errorf("root is told of root:\n%s", cmd.text())
	}
	_ = receiver.Process.Kill()
	<-waiting.ended
	launch(t, p.free("--yes")).exit(0)
}

// TestFreeOfOutgoing: a connection that was made from the port is called that, with its peer, and no listening socket is spoken of.
func TestFreeOfOutgoing(t *testing.T) {
	server := listen(t, "127.0.0.1")
	from := listen(t, "127.0.0.1")
	from.Close()
	conn, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from.addr)}).Dial("tcp", server.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	cmd := launch(t, from.free("--dry-run"))
	cmd.exit(1)
	cmd.expectText(fmt.Sprintf("outgoing: 1 connection of rstserver.test (pid %d), from this port to %s", os.Getpid(), server.addr))
	if strings.Contains(cmd.text(), "listens") || strings.Contains(cmd.text(), "--stop-owner") {
		t.Errorf("a listening socket is spoken of:\n%s", cmd.text())
	}
	cmd = launch(t, from.free("--dry-run", "--json"))
	cmd.exit(1)
	if got := cmd.stdout.String(); !strings.Contains(got, `"outgoing":true,"peers":["`+server.addr.String()+`"]`) {
		t.Errorf("JSON = %s", got)
	}
	// The other end is none.
	cmd = launch(t, server.free("--dry-run"))
	cmd.exit(1)
	if strings.Contains(cmd.text(), "outgoing") {
		t.Errorf("an accepted connection is called outgoing:\n%s", cmd.text())
	}
}

// TestFreeNamesUDP: the UDP port of the same number is another one, so that nobody takes it for free.
func TestFreeNamesUDP(t *testing.T) {
	p := listen(t, "127.0.0.1")
	p.Close()
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(p.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	cmd := launch(t, p.free("--yes"))
	cmd.exit(0)
	cmd.expectText(fmt.Sprintf("UDP port %d, which is another one and left alone, is taken: by rstserver.test (pid %d) at %s", p.addr.Port(), os.Getpid(), p.addr))
	cmd = launch(t, p.free("--yes", "--local", "127.0.0.9"))
	cmd.exit(0)
	if strings.Contains(cmd.text(), "UDP") {
		t.Errorf("whoever is at another address is named:\n%s", cmd.text())
	}
}

// TestAdvice makes up the circumstances that take a container, a unit of systemd or luck.
func TestAdvice(t *testing.T) {
	at := netip.MustParseAddrPort("0.0.0.0:80")
	node, pm2 := freeport.Process{PID: 812, Name: "node"}, freeport.Process{PID: 5, Name: "pm2"}
	let := &freeport.Result{Successor: true, Stopped: []freeport.Stopped{{Process: freeport.Process{PID: 700, Name: "node"}, Circumstance: freeport.Circumstance{Parent: pm2}, Signalled: true, LetGo: true}}}
	for _, tt := range []struct {
		name string
		c    freeport.Circumstance
		done *freeport.Result
		plan freeport.Plan
		want []string
	}{
		{"nothing", freeport.Circumstance{}, nil, freeport.Plan{}, []string{"such a socket is never destroyed", "rstserver free 80 --stop-owner"}},
		{"at an address", freeport.Circumstance{}, nil, freeport.Plan{Select: sockdiag.Selector{Local: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, []string{"rstserver free 80 --local 127.0.0.1 --stop-owner"}},
		{"another user's", freeport.Circumstance{NotPermitted: true}, nil, freeport.Plan{}, []string{"another user's", "sudo rstserver free 80 --stop-owner"}},
		{"ignores", freeport.Circumstance{IgnoresTERM: true}, nil, freeport.Plan{}, []string{"ignores SIGTERM", "rstserver free 80 --stop-owner --signal KILL"}},
		{"respawned", freeport.Circumstance{Parent: pm2}, let, freeport.Plan{StopOwner: true}, []string{"pm2 (pid 5), its parent, has started it", "kill 5"}},
		{"a unit", freeport.Circumstance{Unit: "nginx.service"}, nil, freeport.Plan{}, []string{"it is nginx.service", "systemctl stop nginx.service"}},
		{"a user's unit", freeport.Circumstance{Unit: "app.service", UserUnit: true}, nil, freeport.Plan{}, []string{"systemctl --user stop app.service"}},
		{"a container", freeport.Circumstance{Container: "0123456789abcdef", Runtime: "docker", IgnoresTERM: true}, nil, freeport.Plan{}, []string{"runs in a container", "docker stop 0123456789ab"}},
		{"a proxy", freeport.Circumstance{Forwards: true}, nil, freeport.Plan{}, []string{"docker ps --filter publish=80"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := freeReport{Port: 80, plan: &tt.plan, Done: tt.done}
			r.After = freeport.Verdict{Err: syscall.EADDRINUSE, Holders: []freeport.Holder{{Process: node, Circumstance: tt.c, Local: at, State: sockdiag.Listen}}}
			got := strings.Join(strings.Fields(r.outcome()), " ")
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("the outcome lacks %q:\n%s", want, r.outcome())
				}
			}
		})
	}
	for name, tt := range map[string]struct {
		h    freeport.Hiding
		want string
	}{
		"in transit": {freeport.Hiding{InTransit: []freeport.Process{node}}, "kill 812"},
		"outside":    {freeport.Hiding{Outside: true}, "rstserver free 80"},
		"the kernel": {freeport.Hiding{}, "ss -tlnpe 'sport = :80'"},
	} {
		r := freeReport{Port: 80, plan: &freeport.Plan{}}
		if a := r.adviceOnHidden(tt.h); a.command != tt.want || strings.Contains(a.why, "root") {
			t.Errorf("%s: advice = %+v, want %q", name, a, tt.want)
		}
	}
}

// TestFreeSeveral frees several ports in one call, and says in the end which are.
func TestFreeSeveral(t *testing.T) {
	held, freed, empty := listen(t, "127.0.0.1"), listen(t, "127.0.0.1"), listen(t, "127.0.0.1")
	freed.leave()
	freed.Close()
	empty.Close()
	number := func(p *port) string { return strconv.Itoa(int(p.addr.Port())) }
	args := []string{"free", ":" + number(held), "localhost:" + number(freed), number(empty) + "-" + number(empty), number(freed)}
	ports := []uint16{freed.addr.Port(), empty.addr.Port()}

	cmd := launch(t, exec.Command(binary, append(args, "--dry-run")...))
	cmd.exit(1)
	cmd.expectText("would destroy 3 sockets", "1 port is free: "+number(empty), fmt.Sprintf("2 ports are not: %s (rstserver.test (pid %d)), %s", number(held), os.Getpid(), number(freed)))

	cmd, keys := onTerminal(t, exec.Command(binary, args...))
	cmd.asks()
	if _, err := keys.Write([]byte("y\n")); err != nil {
		t.Fatal(err)
	}
	cmd.exitOnTerminal(1)
	cmd.expectText("Destroy 3 sockets (ESTABLISHED 1, FIN_WAIT2 1, TIME_WAIT 1)?", "2 ports are free: "+rangesOf(ports), fmt.Sprintf("1 port is not: %s (rstserver.test (pid %d))", number(held), os.Getpid()))

	cmd = launch(t, exec.Command(binary, append(args, "--yes", "--json")...))
	cmd.exit(1)
	if got := cmd.stdout.String(); !strings.HasPrefix(got, `{"ports":[{"port":`+number(held)) || !strings.HasSuffix(got, `],"free":false}`+"\n") {
		t.Errorf("JSON = %s", got)
	}
}

func TestRangesOf(t *testing.T) {
	for want, ports := range map[string][]uint16{"": nil, "80": {80}, "80-81": {81, 80}, "80, 82-84, 90": {84, 80, 82, 83, 90}} {
		if got := rangesOf(ports); got != want {
			t.Errorf("rangesOf(%v) = %q, want %q", ports, got, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	local := func(list ...string) (nets []netip.Prefix) {
		for _, s := range list {
			n, _ := sockdiag.ParseNetwork(s)
			nets = append(nets, n)
		}
		return nets
	}
	for text, want := range map[string]target{
		"8080": {8080, 8080, nil}, ":8080": {8080, 8080, nil}, "*:8080": {8080, 8080, nil}, "8080-8089": {8080, 8089, nil},
		"127.0.0.1:80": {80, 80, local("127.0.0.1")}, "[::1]:80": {80, 80, local("::1")}, "0.0.0.0:80-81": {80, 81, local("0.0.0.0")},
		"http://127.0.0.1:3000/app?x=y:1": {3000, 3000, local("127.0.0.1")},
	} {
		got, err := parseTarget(text)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("parseTarget(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

// TestFreeLists names the largest groups of peers, and how to pick one.
func TestFreeLists(t *testing.T) {
	p := listen(t, "127.0.0.1")
	for _, ip := range []string{"127.0.0.5", "127.0.0.6", "127.0.0.5"} {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", p.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	before := p.counts()
	cmd := launch(t, p.free("--list"))
	cmd.exit(1)
	cmd.expectText("SOCKETS PEER STATES 2 127.0.0.5 ESTABLISHED 2 1 127.0.0.6 ESTABLISHED 1", fmt.Sprintf("rstserver free %d --peer 127.0.0.5", p.addr.Port()))
	if got := p.counts(); got != before {
		t.Errorf("on the port: %v, want %v as before", got, before)
	}
}
