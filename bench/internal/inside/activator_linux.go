//go:build linux

package inside

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Activate does what systemd does for a service with a socket unit and Restart=on-success: it listens on addr, and has a command serve what
// comes there (sd_listen_fds(3)), which is started again whenever it has ended in order. Connections wait meanwhile. SIGTERM is the command's too,
// and the end of both.
func Activate(addr string, command []string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	ln, err := listen(ap, false)
	if err != nil {
		return err
	}
	socket, err := ln.File()
	if err != nil {
		return err
	}
	ln.Close() // of the two descriptors one is enough
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	for {
		// Only the command itself can say its number, which LISTEN_PID has to have: a shell that it takes over.
		cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, command...)...)
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
		cmd.ExtraFiles = []*os.File{socket}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil { // it would fail again
				return err
			}
		case <-terms:
			_ = cmd.Process.Signal(syscall.SIGTERM)
			return <-ended
		}
	}
}
