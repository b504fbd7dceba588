package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

// Behind a proxy that keeps connections to the server, no GET fails by a handover. What becomes of POST, which no proxy repeats, is told.
func TestHandoverBehindProxies(t *testing.T) {
	n, scale := cmp.Or(*handovers, 9), 1
	if testing.Short() {
		n, scale = cmp.Or(*handovers, 2), 8
	}
	for _, proxy := range []string{"nginx", "haproxy"} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			program := debian.Program(t, proxy, proxy)
			d := startDynasty(t)
			addr := startProxy(t, program, d.addr.String())
			result := underLoad(t, d, restartload.Config{Addr: addr, New: 64 / scale, Kept: 64 / scale, PostPath: "/echo"}, n)
			posts := 0
			for _, lost := range result.Lost {
				if lost.Kind == "kept" {
					posts++
				} else {
					t.Errorf("a GET has failed: %v", lost.Err)
				}
			}
			t.Logf("%d of %d POST have failed", posts, len(result.Kept)+posts)
		})
	}
}

// startProxy starts a proxy with its file in deploy, in front of the server, and returns its address.
func startProxy(t testing.TB, program, server string) (addr string) {
	t.Helper()
	dir := t.TempDir()
	addr = "127.0.0.1:" + strconv.Itoa(freePort(t))
	name := map[string]string{"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[filepath.Base(program)]
	b, err := os.ReadFile("deploy/" + name)
	lingertest.Must(t, err)
	b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("127.0.0.1:8000"), []byte(addr)), []byte("127.0.0.1:8080"), []byte(server))
	config := filepath.Join(dir, name)
	lingertest.Must(t, os.WriteFile(config, b, 0o644))
	var cmd *exec.Cmd
	if name == "nginx.conf" {
		cmd = exec.Command(program, "-p", dir, "-c", config, "-g", fmt.Sprintf("daemon off; master_process off; pid %s/pid; error_log stderr;", dir))
	} else {
		cmd = exec.Command(program, "-db", "-q", "-f", config)
	}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	lingertest.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(lingertest.Patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		killed.Stop()
		if t.Failed() {
			t.Logf("%s: %s", name, strings.TrimSpace(out.String()))
		}
	})
	lingertest.Wait(t, "the proxy answers", func() bool {
		l := restartload.Start(restartload.Config{Addr: addr, New: 1, Pause: time.Hour})
		for l.Requests() == 0 {
			time.Sleep(time.Millisecond)
		}
		return len(l.Stop().Lost) == 0
	})
	return addr
}
