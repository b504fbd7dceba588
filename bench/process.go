package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a server that was started to be measured.
type Process struct {
	Addr netip.AddrPort
	cmd  *exec.Cmd
	done chan error // the outcome of Wait, once
}

// Start starts cmd and waits until it listens. A program that was given an address is ready when that accepts a connection;
// with the zero address the first line on stdout has to be "listening on http://ADDRESS", as each of our peers prints it.
func Start(cmd *exec.Cmd, addr netip.AddrPort, patience time.Duration) (*Process, error) {
	p := &Process{Addr: addr, cmd: cmd, done: make(chan error, 1)}
	line := make(chan string, 1)
	read := func() {}
	if !addr.IsValid() {
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		read = func() {
			r := bufio.NewReader(out)
			s, _ := r.ReadString('\n')
			line <- s
			_, _ = io.Copy(io.Discard, r)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", cmd.Path, err)
	}
	go func() {
		read() // before Wait, which closes the pipe
		p.done <- cmd.Wait()
	}()
	if err := p.ready(line, time.After(patience)); err != nil {
		p.Kill()
		return nil, fmt.Errorf("bench: %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *Process) ready(line <-chan string, timeout <-chan time.Time) error {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		select {
		case s := <-line:
			addr, ok := strings.CutPrefix(strings.TrimSpace(s), "listening on http://")
			if !ok {
				return fmt.Errorf("it printed %q in place of its address", s)
			}
			var err error
			if p.Addr, err = netip.ParseAddrPort(addr); err != nil {
				return fmt.Errorf("it printed %q: %w", s, err)
			}
			return nil
		case <-retry.C:
			if !p.Addr.IsValid() {
				continue
			}
			if c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(p.Addr)); err == nil {
				_ = c.SetLinger(0)
				return c.Close()
			}
		case <-timeout:
			return errors.New("it does not listen in time")
		}
	}
}

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Wait waits for the process to end and returns its exit code, -1 when a signal ended it.
func (p *Process) Wait(patience time.Duration) (int, error) {
	select {
	case err := <-p.done:
		p.done <- err
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return 0, err
		}
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("bench: process %d has not ended after %s", p.cmd.Process.Pid, patience)
	}
}

// Kill ends the process if it still runs, and waits for it.
func (p *Process) Kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return
	}
	err := <-p.done
	p.done <- err
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }
