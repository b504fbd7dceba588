//go:build linux

package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"syscall"
	"time"

	"rstserver/linger/sockdiag"
)

// Run is one measurement: a server is started, a fleet connects, the server is sent a signal.
type Run struct {
	Server func() (*exec.Cmd, netip.AddrPort) // what to start, see Start
	Mix    Mix
	Signal syscall.Signal
	Settle time.Duration // how long a port that does not become free is waited for
}

// patience bounds what has to happen sooner or later.
const patience = time.Minute

// Result is what was seen of one Run. Times count from the signal; a time of zero means that it did not happen.
type Result struct {
	Free    time.Duration // a bind without SO_REUSEADDR succeeded; resolution ProbeInterval
	Told    time.Duration // the last client knew
	Gone    time.Duration // the process had ended
	Endings Endings
	Left    sockdiag.Counts // on the port, once every client knew and the process had ended
	Exit    int
	CPU     time.Duration // that the server has used from the signal to its end; less subject to what else the machine does
}

// Measure carries out the run.
func (r Run) Measure() (Result, error) {
	var res Result
	cmd, addr := r.Server()
	p, err := Start(cmd, addr, patience)
	if err != nil {
		return res, err
	}
	defer p.Kill()
	f, err := Open(p.Addr, r.Mix, patience)
	if err != nil {
		return res, err
	}
	defer f.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type probed struct {
		at  time.Time
		err error
	}
	free := make(chan probed, 1)
	before, err := p.cpu()
	if err != nil {
		return res, err
	}
	began := time.Now()
	if err := p.Signal(r.Signal); err != nil {
		return res, fmt.Errorf("bench: sending %s to the server: %w", r.Signal, err)
	}
	go func() {
		at, err := FreeAt(ctx, p.Addr)
		free <- probed{at, err}
	}()
	gone := make(chan time.Time, 1)
	go func() {
		_, _ = p.Wait(patience)
		gone <- time.Now()
	}()
	if res.Endings, err = f.Watch(patience); err != nil {
		return res, err
	}
	res.Told = res.Endings.Last.Sub(began)
	select {
	case at := <-gone:
		res.Gone = at.Sub(began)
	case <-time.After(patience):
	}
	if res.Left, _, err = sockdiag.Count(p.Addr.Port()); err != nil {
		return res, err
	}
	settle := time.AfterFunc(r.Settle, cancel)
	defer settle.Stop()
	if got := <-free; got.err == nil {
		res.Free = got.at.Sub(began)
	} else if ctx.Err() == nil {
		return res, got.err
	}
	if res.Exit, err = p.Wait(patience); err != nil {
		return res, err
	}
	res.CPU = p.cpuInAll() - before
	return res, nil
}
