//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/child"
	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
)

// pair is the time that as many connections take to open between the server and its Opener, a bare pair of programs: what the time that
// the clients take is compared with. All of it is over, and the port is clean, when it returns.
func (r run) pair(ctx context.Context, limit uint64) (took time.Duration, err error) {
	addr, err := kernel.FreePort()
	if err != nil {
		return 0, err
	}
	p, err := r.Server.start(ctx, addr, r.Processes, r.Stderr, min(r.Patience, r.Timeout), "")
	if err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, &failure{Err: err, Unstarted: true}
	}
	var openers openers
	defer func() {
		openers.dismiss()
		p.Kill()
		if _, left := kernel.Clean(ctx, addr.Port(), r.Waiting); left != nil && !errors.Is(err, left) {
			err = both(err, left)
		}
	}()
	n, each := r.Mix.Total(), fleet.Each(limit)
	for from := 0; from < n; from += each {
		if err := openers.start(r.Server.Opener, addr, from, min(each, n-from)); err != nil {
			return 0, fmt.Errorf("bench: starting the other end of %s: %w", r.Server.Name, err)
		}
	}
	began := time.Now()
	if err := openers.open(ctx); err != nil {
		if ctx.Err() == nil {
			err = failed(both(p.Ending(ctx), err))
		}
		return 0, err
	}
	return time.Since(began), nil
}

// openers are processes of an Opener.
type openers []*opener

type opener struct {
	in   io.WriteCloser
	said chan error // nil once all connections are open; closed when the process has ended
	kill func() error
}

// start starts one that is to open n connections, behind so many that others do: they are from addresses as clients have.
func (o *openers) start(command []string, addr netip.AddrPort, from, n int) error {
	source := kernel.ClientSource((from + fleet.PerSource - 1) / fleet.PerSource)
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], addr.String(), source.String(), strconv.Itoa(n))...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var printed tail
	cmd.Stderr = &printed
	one := &opener{in: in, said: make(chan error, 1), kill: func() error { return cmd.Process.Kill() }}
	err = child.Start(cmd, func() {
		defer close(one.said)
		_, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			one.said <- nil
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		if err != nil {
			one.said <- fmt.Errorf("bench: the other end of the pair has ended, with %s: %s", cmd.ProcessState, strings.Join(strings.Fields(string(printed)), " "))
		}
	})
	if err == nil {
		*o = append(*o, one)
	}
	return err
}

// open returns when all connections of all are open.
func (o openers) open(ctx context.Context) error {
	for _, one := range o {
		// One that has ended already says why.
		if _, err := io.WriteString(one.in, "\n"); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("bench: the other end of the pair: %w", err)
		}
	}
	for _, one := range o {
		select {
		case err := <-one.said:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// dismiss ends them, and with them the connections.
func (o openers) dismiss() {
	for _, one := range o {
		_ = one.in.Close()
	}
	for _, one := range o {
		// One that hangs, in the middle of its opening, is ended otherwise.
		late := time.AfterFunc(time.Second, func() { _ = one.kill() })
		for range one.said {
		}
		late.Stop()
	}
}

// tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-1<<10):]
	return len(p), nil
}
