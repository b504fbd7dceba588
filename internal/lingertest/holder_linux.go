//go:build linux

package lingertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// HoldElsewhere gives the listening socket to another process, as its descriptor 3, until release is called, and returns how it is to
// be named.
func HoldElsewhere(t testing.TB, ln net.Listener) (who string, release func()) {
	t.Helper()
	f, err := ln.(*net.TCPListener).File()
	Must(t, err)
	defer f.Close()
	holder := exec.Command("cat")
	holder.ExtraFiles = []*os.File{f}
	in, err := holder.StdinPipe()
	Must(t, err)
	Must(t, holder.Start())
	release = sync.OnceFunc(func() {
		in.Close()
		_ = holder.Wait()
	})
	t.Cleanup(release)
	return fmt.Sprintf("cat (pid %d, descriptor 3)", holder.Process.Pid), release
}
