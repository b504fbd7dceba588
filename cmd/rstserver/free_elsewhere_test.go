package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// TestFreeElsewhere: the port is a process's in another network namespace, and the way there is one that works.
func TestFreeElsewhere(t *testing.T) {
	t.Parallel()
	needRoot(t, "to make a network namespace")
	needNobody(t)
	p := listen(t, "127.0.0.1")
	p.Close()
	sleep := exec.Command("sleep", "60")
	var owner *process
	lingertest.InNewNetwork(t, func() {
		ln, err := net.Listen("tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), p.addr.Port()).String())
		if err != nil {
			t.Error(err)
			return
		}
		defer ln.Close()
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		sleep.ExtraFiles = []*os.File{file}
		owner = launchAs(t, sleep)
	})
	if t.Failed() {
		return
	}
	pid, number := sleep.Process.Pid, strconv.Itoa(int(p.addr.Port()))
	cmd := launch(t, p.free("--yes", "--stop-owner"))
	cmd.exit(0) // it is free here
	cmd.expectText("nothing is on it in this network namespace", fmt.Sprintf("sleep (pid %d) holds it in another network namespace", pid),
		fmt.Sprintf("nsenter -t %d -n %s free %s", pid, binary, number), "is free in this network namespace")
	cmd = launch(t, asNobody(p.free("--yes")))
	cmd.exit(0)
	cmd.expectText(fmt.Sprintf("in another network namespace, that of sleep (pid %d)", pid), fmt.Sprintf("nsenter -t %d -n", pid))
	cmd = launch(t, p.free("--yes", "--json"))
	cmd.exit(0)
	if f := cmd.freed(); len(f.Before.Elsewhere) != 1 || f.Before.Elsewhere[0].PID != pid || f.Before.Elsewhere[0].Sockets[sockdiag.Listen] != 1 {
		t.Errorf("elsewhere = %+v, want pid %d", f.Before.Elsewhere, pid)
	}

	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Skipf("needs nsenter (util-linux) to go there: %v", err)
	}
	there := exec.Command(nsenter, "-t", strconv.Itoa(pid), "-n", binary, "free", number, "--yes", "--stop-owner")
	cmd = launch(t, there)
	cmd.exit(0)
	cmd.expectText(fmt.Sprintf("sleep (pid %d) was sent SIGTERM", pid), "is free")
	<-owner.ended
}
