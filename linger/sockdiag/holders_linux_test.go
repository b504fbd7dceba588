//go:build linux

package sockdiag

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

func TestHolders(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			s := newServer(t, f)
			s.connect(t)
			var fd int
			lingertest.Control(t, s, func(n int) error { fd = n; return nil })
			holders, _, err := Holders(s.port)
			lingertest.Must(t, err)
			if len(holders) != 1 {
				t.Fatalf("Holders = %v, want this process once", holders)
			}
			comm, err := os.ReadFile("/proc/self/comm")
			lingertest.Must(t, err)
			p := holders[0]
			if p.FD != fd || p.Name != strings.TrimSpace(string(comm)) ||
				p.Socket.State != Listen || p.Socket.Inode != inodeOf(t, s) {
				t.Errorf("Holders = %+v, want descriptor %d of %s", p, fd, comm)
			}
			if got, want := p.String(), fmt.Sprintf("%s (pid %d)", p.Name, os.Getpid()); got != want {
				t.Errorf("String() = %q, want %q", got, want)
			}
		})
	}
}

// TestHoldersMPTCP: what net.Listen makes is MPTCP where the kernel has it, and its TCP socket has the same inode.
func TestHoldersMPTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	defer ln.Close()
	holders, _, err := Holders(portOf(ln.Addr()))
	if len(holders) != 1 || holders[0].PID != os.Getpid() || err != nil {
		t.Errorf("Holders = %v, %v, want this process", holders, err)
	}
}

func TestHoldersOfTwoProcesses(t *testing.T) {
	s := newServer(t, families[0])
	file, err := s.File() // a second descriptor of the same socket
	lingertest.Must(t, err)
	defer file.Close()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file}
	lingertest.Must(t, child.Start())
	defer func() {
		child.Process.Kill()
		child.Wait()
	}()
	holders, _, err := Holders(s.port)
	lingertest.Must(t, err)
	if len(holders) != 2 {
		t.Fatalf("Holders = %v, want two processes", holders)
	}
	for _, p := range holders {
		if p.PID == child.Process.Pid && p.String() != fmt.Sprintf("sleep (pid %d)", p.PID) {
			t.Errorf("Holders = %v, want sleep", p)
		}
	}
}

func TestHoldersOfFreePort(t *testing.T) {
	s := newServer(t, families[0])
	lingertest.Must(t, s.Close())
	if holders, complete, err := Holders(s.port); len(holders) != 0 || !complete || err != nil {
		t.Errorf("Holders = %v, %v, %v, want none", holders, complete, err)
	}
}

func TestHoldersWithoutPrivilege(t *testing.T) {
	// A process of root that the thread below may not look into.
	child := exec.Command("sleep", "60")
	lingertest.Must(t, child.Start())
	defer func() {
		child.Process.Kill()
		child.Wait()
	}()
	s := newServer(t, families[0])
	lingertest.AsNobody(t, func() {
		_, complete, err := Holders(s.port)
		if complete || err != nil {
			t.Errorf("Holders = complete %v, %v, want incomplete and no error", complete, err)
		}
	})
}

func TestScan(t *testing.T) {
	root := t.TempDir()
	link := func(pid, fd, target string) {
		dir := filepath.Join(root, pid, "fd")
		lingertest.Must(t, os.MkdirAll(dir, 0o755))
		lingertest.Must(t, os.Symlink(target, filepath.Join(dir, fd)))
	}
	link("7", "12", "socket:[1]")
	link("7", "3", "socket:[1]")
	link("7", "4", "socket:[2]")
	link("7", "5", "/a/very/long/name/"+strings.Repeat("x", 200))
	link("5", "9", "socket:[2]")
	link("net", "1", "socket:[1]")
	lingertest.Must(t, os.WriteFile(filepath.Join(root, "7", "comm"), []byte("nginx\n"), 0o644))
	sockets := map[string]Socket{"socket:[1]": {Inode: 1}, "socket:[2]": {Inode: 2}}

	holders, complete, err := scan(root, sockets)
	want := []Process{
		{PID: 5, FD: 9, Socket: Socket{Inode: 2}},
		{PID: 7, Name: "nginx", FD: 3, Socket: Socket{Inode: 1}},
		{PID: 7, Name: "nginx", FD: 4, Socket: Socket{Inode: 2}},
	}
	if !slices.Equal(holders, want) || !complete || err != nil {
		t.Errorf("scan = %v, %v, %v, want %v", holders, complete, err, want)
	}
	if got := want[0].String() + ", " + want[1].String(); got != "pid 5, nginx (pid 7)" {
		t.Errorf("String() = %q", got)
	}

	sockets["socket:[3]"] = Socket{Inode: 3}
	if _, complete, _ := scan(root, sockets); complete {
		t.Error("complete although nobody has socket 3")
	}
	delete(sockets, "socket:[3]")
	lingertest.Must(t, os.Mkdir(filepath.Join(root, "8"), 0o755)) // as if it ended just now
	if _, complete, _ := scan(root, sockets); !complete {
		t.Error("incomplete because of a process that is gone")
	}
	lingertest.Must(t, os.WriteFile(filepath.Join(root, "8", "fd"), nil, 0o644)) // cannot be listed
	if _, complete, _ := scan(root, sockets); complete {
		t.Error("complete although a process could not be looked into")
	}
	if _, _, err := scan(filepath.Join(root, "none"), sockets); err == nil {
		t.Error("scan without /proc = nil, want an error")
	}
}
