//go:build linux

package linger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
)

// crashEnv has TestListenerCrash serve, as the process that is to be killed.
// crashEnv has the address on which TestListenerCrash serves until it is killed.
const crashEnv = "LINGER_TEST_CRASH"

// An armed listener makes a crash clean: after SIGKILL every client reads ECONNRESET, and the port is free.
func TestListenerCrash(t *testing.T) {
	if os.Getenv(crashEnv) != "" {
		serveUntilKilled()
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestListenerCrash$")
	cmd.Env = append(os.Environ(), crashEnv+"="+sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	out, err := cmd.StdoutPipe()
	lingertest.Must(t, err)
	lingertest.Must(t, cmd.Start())
	killed := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(killed)
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	lingertest.Must(t, err)
	addr, err := netip.ParseAddrPort(strings.TrimSpace(line))
	lingertest.Must(t, err)

	var clients []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", addr.String())
		lingertest.Must(t, err)
		defer c.Close()
		lingertest.Must(t, c.SetDeadline(time.Now().Add(lingertest.Patience)))
		clients = append(clients, c)
		_, err = lines.ReadString('\n') // accepted
		lingertest.Must(t, err)
	}
	killed()
	for _, c := range clients {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("a client read %v, want ECONNRESET", err)
		}
	}
	if c := sockdiagtest.Count(t, addr.Port()); c.Total() != 0 {
		t.Errorf("left on the port: %v", c)
	}
	lingertest.Must(t, CheckFree(addr))
}

func serveUntilKilled() {
	l, err := ListenConfig{Armed: true}.Listen(context.Background(), "tcp", os.Getenv(crashEnv))
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	for {
		if _, err := l.Accept(); err != nil {
			panic(err)
		}
		fmt.Println("accepted")
	}
}
