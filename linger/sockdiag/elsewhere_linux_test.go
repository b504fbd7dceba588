//go:build linux

package sockdiag

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"rstserver/internal/lingertest"
)

// TestElsewhere looks for a process that listens in another network namespace.
func TestElsewhere(t *testing.T) {
	// The child gets a listening socket of its namespace, and does nothing with it.
	var file *os.File
	var port uint16
	child := exec.Command("sleep", "60")
	lingertest.InNewNetwork(t, func() {
		// A namespace without an interface that is up has no addresses but the unspecified one.
		ln, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			t.Error(err)
			return
		}
		defer ln.Close()
		port = portOf(ln.Addr())
		if file, err = ln.(*net.TCPListener).File(); err != nil {
			t.Error(err)
			return
		}
		child.ExtraFiles = []*os.File{file}
		if err := child.Start(); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	defer func() {
		child.Process.Kill()
		child.Wait()
	}()
	lingertest.Must(t, file.Close())

	if d, err := Port(port); err != nil || len(d.Sockets) != 0 {
		t.Skipf("port %d is in use in this namespace too: %v, %v", port, d, err)
	}
	check := func(holders int) {
		t.Helper()
		found, err := Elsewhere(port)
		// There can be strangers' namespaces with the port, too.
		of := slices.IndexFunc(found, func(ns Namespace) bool { return ns.PID == child.Process.Pid })
		if err != nil || of < 0 {
			t.Fatalf("Elsewhere(%d) = %+v, %v, want the namespace of pid %d", port, found, err, child.Process.Pid)
		}
		ns := found[of]
		if ns.Name != "sleep" || len(ns.Holders) != holders || len(ns.Sockets) != 1 || ns.Sockets[0].State != Listen {
			t.Errorf("Elsewhere(%d) = %+v, want a listening socket of sleep (pid %d), %d holders", port, ns, child.Process.Pid, holders)
		}
	}
	check(1)
	lingertest.AsNobody(t, func() {
		check(0) // whose descriptors may not be read
	})

	// What is in this namespace is not elsewhere.
	s := newServer(t, families[0])
	found, err := Elsewhere(s.port)
	lingertest.Must(t, err)
	for _, ns := range found {
		for _, socket := range ns.Sockets {
			if socket.Inode == inodeOf(t, s) {
				t.Errorf("Elsewhere(%d) = %+v, which is here", s.port, ns)
			}
		}
	}
}

func TestElsewhereInTables(t *testing.T) {
	root := t.TempDir()
	process := func(pid, comm, table, table6 string) {
		dir := filepath.Join(root, pid, "net")
		lingertest.Must(t, os.MkdirAll(dir, 0o755))
		lingertest.Must(t, os.WriteFile(filepath.Join(root, pid, "comm"), []byte(comm+"\n"), 0o600))
		if table != "" {
			lingertest.Must(t, os.WriteFile(filepath.Join(dir, "tcp"), []byte(table), 0o600))
		}
		if table6 != "" {
			lingertest.Must(t, os.WriteFile(filepath.Join(dir, "tcp6"), []byte(table6), 0o600))
		}
	}
	same := func(pid, other string) { // the namespace of another process
		dir := filepath.Join(root, pid, "net")
		lingertest.Must(t, os.MkdirAll(dir, 0o755))
		lingertest.Must(t, os.Link(filepath.Join(root, other, "net", "tcp"), filepath.Join(dir, "tcp")))
	}
	process("thread-self", "", heading+line4, "")
	same("1", "thread-self")
	process("20", "web", heading+line4, heading+line6)
	same("3", "20") // the lowest number stands for it
	process("7", "old", heading+line4, "")
	process("8", "other", heading+other4, "")
	process("9", "gone", "", "")
	process("10", "odd", "no table", "")
	lingertest.Must(t, os.WriteFile(filepath.Join(root, "version"), nil, 0o600))

	found, err := elsewhere(root, port)
	if err != nil || len(found) != 2 {
		t.Fatalf("elsewhere = %+v, %v, want two namespaces", found, err)
	}
	if ns := found[0]; ns.PID != 3 || len(ns.Sockets) != 1 || ns.Sockets[0].Local != netip.MustParseAddrPort("127.0.0.1:8080") {
		t.Errorf("first = %+v, want pid 3", ns) // which has no tcp6 here
	}
	if ns := found[1]; ns.PID != 7 || ns.Name != "old" {
		t.Errorf("second = %+v, want old (pid 7)", ns)
	}
	lingertest.Must(t, os.RemoveAll(filepath.Join(root, "thread-self")))
	if _, err := elsewhere(root, port); err == nil {
		t.Error("elsewhere without a namespace of its own = nil, want an error")
	}
	if _, err := elsewhere(filepath.Join(root, strconv.Itoa(99)), port); err == nil {
		t.Error("elsewhere without /proc = nil, want an error")
	}
}
