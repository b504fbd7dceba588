package main

import (
	"os"
	"testing"

	"rstserver/internal/debian"
)

// TestWithoutProc serves all the same, and says what it needs /proc for.
func TestWithoutProc(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("to take /proc away from a process takes root")
	}
	p := startCommand(t, debian.Program(t, "unshare", "util-linux"), "--mount", "sh", "-c", `umount -l /proc && exec "$0" "$@"`, binary)
	p.waitLog("level=WARN", "mount -t proc proc /proc")
	c := dial(t, p.addr)
	c.expectHello()
	p.stop()
	c.expectReset()
}
