package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func TestFreeStopsOwner(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	p := start(t)
	c := dial(t, p.addr)
	c.expectHello()
	cmd := launch(t, exec.Command(binary, "free", strconv.Itoa(int(p.addr.Port())), "--yes", "--stop-owner", "--wait", lingertest.Patience.String()))
	cmd.exit(0)
	cmd.expectText(fmt.Sprintf("rstserver (pid %d) was sent SIGTERM, and has let go of the port", p.cmd.Process.Pid), "is free")
	p.exit(0) // which SIGTERM does to it
	c.expectReset()
	expectFree(t, p.addr)
}

// TestFreeNeverKills: an owner that ignores SIGTERM lives, and the exit code says that the port is not free.
func TestFreeNeverKills(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	p := listen(t, "127.0.0.1")
	file, err := p.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p.Close()
	file2 := file
	owner := exec.Command("sh", "-c", `trap "" TERM; echo ready; exec sleep 60`)
	owner.ExtraFiles = []*os.File{file2}
	stubborn := launchAs(t, owner)
	lingertest.Wait(t, "the owner ignores SIGTERM", func() bool { return stubborn.stdout.String() != "" })
	file.Close()
	lingertest.Wait(t, "the owner is called sleep", func() bool {
		holders, _, err := sockdiag.Holders(p.addr.Port())
		return err == nil && len(holders) == 1 && holders[0].Name == "sleep"
	})
	cmd := launch(t, p.free("--yes", "--stop-owner", "--wait", "50ms"))
	cmd.exit(1)
	cmd.expectText(fmt.Sprintf("sleep (pid %d) was sent SIGTERM: it has not let go of the port in 50ms", owner.Process.Pid), "is not free")
	if err := owner.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the owner does not live: %v", err)
	}
}
