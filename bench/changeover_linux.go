//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/process"
)

// changeover is a restart under way.
type changeover struct {
	r       *restartRun
	before  map[int]bool   // all that lived
	main    int            // the old one
	started int            // by a step; 0: none
	death   *process.Death // of those that are to go, the main process among them
	inPlace bool
	nobody  time.Time // since when no process of it has been there; zero: there is one
}

func (c *changeover) carryOut(ctx context.Context) error {
	way := c.r.Server.Way
	for i, step := range way.Steps {
		if err := c.do(ctx, step, i+1 < len(way.Steps)); err != nil {
			return err
		}
	}
	done := time.Now()
	err := c.r.until(ctx, c.r.Timeout, func() (bool, error) {
		c.death.Look()
		// A command may have the process change itself.
		c.inPlace = !c.changed() && way.has(Exec) && time.Since(done) >= c.r.Window
		if c.deserted() {
			return false, failed(fmt.Errorf("it has ended after %s, and there is no new process%s%s", way.Text, way.startless(), c.r.family.Printed()))
		}
		return c.inPlace || c.over(), nil
	}, errOverdue)
	var fault *failure
	if errors.As(err, &fault) && fault.Err == errOverdue {
		return failed(c.stuck())
	}
	return err
}

// errOverdue stands for what has not happened in time, and is said by stuck.
var errOverdue = errors.New("overdue")

// deserted reports whether nobody is left who could start another process. One that is about to execute its program is not known by its
// environment, so that takes a while.
func (c *changeover) deserted() bool {
	const longest = time.Second
	switch {
	case len(c.r.seen) > 0:
		c.nobody = time.Time{}
	case c.nobody.IsZero():
		c.nobody = c.r.scanned
	}
	return !c.nobody.IsZero() && c.r.scanned.Sub(c.nobody) >= longest
}

func (c *changeover) do(ctx context.Context, step Step, more bool) error {
	r := c.r
	switch step.Do {
	case Tell:
		if err := c.death.Signal(c.main, step.Signal); err != nil {
			return failed(fmt.Errorf("sending %s to process %d: %w", unix.SignalName(step.Signal), c.main, err))
		}
		if more {
			return r.until(ctx, r.Timeout, func() (bool, error) {
				c.death.Look()
				return c.replaced(), nil
			}, fmt.Errorf("there is no other main process %s after %s", r.Timeout, unix.SignalName(step.Signal)))
		}
	case Stop:
		if err := c.death.Signal(c.main, step.Signal); err != nil && err != unix.ESRCH {
			return failed(fmt.Errorf("sending %s to process %d: %w", unix.SignalName(step.Signal), c.main, err))
		}
		return r.until(ctx, r.Timeout, func() (bool, error) {
			c.death.Look()
			return c.death.Left() == 0, nil
		}, fmt.Errorf("its old process still runs %s after %s; --timeout gives it longer", r.Timeout, unix.SignalName(step.Signal)))
	case Start:
		command := r.Server.Command
		if r.Server.Way.StartsBeside() { // beside the old one
			command = append(slices.Clone(command), r.Server.Share...)
		}
		pid, err := r.family.Another(ctx, r.Server.words(command, r.family.Addr, r.dir), r.Stderr, r.Patience)
		if err != nil {
			return failed(fmt.Errorf("the new process: %w", err))
		}
		c.started = pid
	case Exec:
		command := slices.Clone(step.Command)
		for i := range command {
			command[i] = strings.ReplaceAll(command[i], "{pid}", strconv.Itoa(c.main))
		}
		limited, stop := context.WithTimeout(ctx, r.Timeout)
		defer stop()
		return failed(r.family.Run(limited, r.Server.words(command, r.family.Addr, r.dir), r.Stderr))
	}
	return nil
}

// successor is the main process that has come, if there is one.
func (c *changeover) successor() (pid int, ok bool) {
	if c.r.pidFile != "" {
		pid = readPID(c.r.pidFile)
		return pid, pid != 0 && pid != c.main
	}
	return c.started, c.started != 0
}

// replaced reports whether another process is the main one.
func (c *changeover) replaced() bool {
	if _, ok := c.successor(); ok {
		return true
	}
	return c.r.pidFile == "" && c.arrived()
}

// arrived reports whether there are processes that were not there before.
func (c *changeover) arrived() bool {
	for pid := range c.r.seen {
		if !c.before[pid] {
			return true
		}
	}
	return false
}

// changed reports whether any process has come or gone.
func (c *changeover) changed() bool { return c.arrived() || len(c.death.At) > 0 || c.replaced() }

// stays reports whether the main process is the old one, and not about to go: it has others that do.
func (c *changeover) stays() bool {
	_, replaced := c.successor()
	return !replaced && len(c.death.Of) > 1 && c.death.Lives(c.main)
}

// over reports whether all that is to go is gone, and something has come.
func (c *changeover) over() bool {
	switch {
	case c.stays():
		return c.arrived() && c.death.Left() == 1
	case c.death.Left() > 0:
		return false
	case c.r.pidFile != "":
		_, ok := c.successor()
		return ok
	}
	return c.arrived() || c.started != 0
}

// gone is when the last of those that are to go has ended.
func (c *changeover) gone() (at time.Duration, ok bool) {
	c.death.Look()
	left := c.death.Left()
	if c.stays() {
		left--
	}
	if left > 0 || len(c.death.At) == 0 {
		return 0, false
	}
	for _, t := range c.death.At {
		at = max(at, t)
	}
	return at, true
}

// stuck is what has not happened in time.
func (c *changeover) stuck() error {
	if !c.changed() {
		return fmt.Errorf("no process of it has come or gone %s after %s: it was not restarted; what changes within one process is told by a command, as in exec=kill -HUP {pid}",
			c.r.Timeout, c.r.Server.Way.Text)
	}
	var names []string
	for pid := range c.death.Of {
		if c.death.Lives(pid) && !(c.stays() && pid == c.main) {
			names = append(names, fmt.Sprint(pid))
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0 && c.r.pidFile == "":
		return fmt.Errorf("its old process has ended, and no other has come %s after %s%s", c.r.Timeout, c.r.Server.Way.Text, c.r.Server.Way.startless())
	case len(names) == 0:
		return fmt.Errorf("its PID file, %s, names no other process %s after %s", c.r.shown(c.r.pidFile), c.r.Timeout, c.r.Server.Way.Text)
	}
	return fmt.Errorf("its old process still runs %s after %s; --timeout gives it longer (pid %s)", c.r.Timeout, c.r.Server.Way.Text, strings.Join(names, ", "))
}
