//go:build linux

// Package process starts the program of a server that is measured, and knows all that descends from it: whether it lives, how it has
// ended, the time and memory that it takes. It touches the processes that it has started and /proc. Of sockets it sees only whether the
// port is listened on, and of clients nothing.
package process

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/child"
	"rstserver/bench/internal/kernel"
	"rstserver/linger/sockdiag"
)

// Program is what is started.
type Program struct {
	Name    string // for errors
	Command []string
	Env     []string // added to the environment of this process
	// Successor has what it starts go on when it has ended: Gone does not wait for that.
	Successor bool
}

// Family is the processes of a server that was started, one or several of the same command on one port, and all that descends from
// them. It is used by one goroutine, and has ended after Kill.
type Family struct {
	Addr netip.AddrPort

	program Program
	n       int // that are to share the port
	started []*process
	strays  *strays
}

// process is one that was started.
type process struct {
	cmd    *exec.Cmd
	began  string        // see kin; empty if it had ended, and been waited for, before that could be read
	errand bool          // Run has started it
	output *os.File      // what it prints, for errors
	ended  chan struct{} // closed by the goroutine that waits, after which the rest can be read
	at     time.Duration // that it had ended
	err    error         // of Wait
}

// Start starts so many processes of a program, which listens on the port of addr, and waits until all of them listen, for patience
// each. What they write on stderr goes to stderr, unless that is nil, in place of the errors about them. After an error none is left.
//
// It makes this process the one that orphans among its descendants go to (PR_SET_CHILD_SUBREAPER), for good.
func Start(ctx context.Context, program Program, addr netip.AddrPort, n int, stderr io.Writer, patience time.Duration) (_ *Family, err error) {
	p := &Family{Addr: addr, program: program, n: n}
	if p.strays, err = newStrays(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Kill()
			err = fmt.Errorf("bench: %s: %w", program.Name, err)
		}
	}()
	for range n {
		if _, err := p.Another(ctx, program.Command, stderr, patience); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Another starts one more process, by another command perhaps, and waits until it listens, for patience. It returns its number.
func (p *Family) Another(ctx context.Context, command []string, stderr io.Writer, patience time.Duration) (pid int, err error) {
	before, err := listening(p.Addr.Port())
	if err != nil {
		return 0, err
	}
	started, err := p.start(command, stderr)
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", command[0], err)
	}
	return started.cmd.Process.Pid, p.ready(ctx, started, before, patience)
}

func (p *Family) start(command []string, stderr io.Writer) (*process, error) {
	one := &process{cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	one.cmd.Env = append(append(os.Environ(), p.program.Env...), p.strays.mark)
	// A file, since with a pipe the clients' machine would be busy with reading it.
	output, err := os.CreateTemp("", "rstserver-bench-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(output.Name())
	one.output = output
	one.cmd.Stdout, one.cmd.Stderr = output, output
	if stderr != nil {
		one.cmd.Stderr = stderr
	}
	// Nor is its end to wait for what others write that have inherited a pipe of it.
	one.cmd.WaitDelay = time.Second
	err = child.Start(one.cmd, func() {
		one.err = one.cmd.Wait()
		one.at = kernel.Now()
		close(one.ended)
	})
	if err != nil {
		output.Close()
		return nil, err
	}
	k, _ := readKin(one.cmd.Process.Pid)
	one.began = k.began
	p.started = append(p.started, one)
	p.strays.leads(one)
	return one, nil
}

// ready waits until there are more listening sockets on the port than before.
func (p *Family) ready(ctx context.Context, one *process, before int, patience time.Duration) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for over := false; ; {
		select {
		case <-one.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			over = true
		case <-retry.C:
		}
		if one.hasEnded(ctx) {
			return fmt.Errorf("it ended at the start, with %s%s%s%s", one.exit(), p.background(one), p.several(one), one.printed())
		}
		if over {
			return fmt.Errorf("it does not listen on port %d after %s; --timeout gives it longer%s%s", p.Addr.Port(), patience, p.several(one), one.printed())
		}
		n, err := listening(p.Addr.Port())
		if err != nil {
			return err
		}
		if n > before {
			return nil
		}
	}
}

// several is what may be wrong when one does not come up that is started while others run.
func (p *Family) several(one *process) string {
	beside := slices.ContainsFunc(p.started, func(other *process) bool {
		select {
		case <-other.ended:
			return false
		default:
			return other != one && !other.errand
		}
	})
	switch {
	case !beside:
		return ""
	case p.n < 2:
		return "; it is started beside one that runs, for which the listening sockets of both need SO_REUSEPORT; share= names the arguments that have it set that"
	}
	return fmt.Sprintf("; for so many connections it is started %d times, for which its listening socket needs SO_REUSEPORT", p.n)
}

// background is what a process that has ended in order is likely to have done, if others that it has started run on.
func (p *Family) background(one *process) string {
	if one.cmd.ProcessState == nil || !one.cmd.ProcessState.Success() {
		return ""
	}
	// One that is about to execute its program has no environment to know it by.
	const longest = time.Second
	names := p.strays.names()
	for until := time.Now().Add(longest); len(names) == 0 && time.Now().Before(until); names = p.strays.names() {
		time.Sleep(5 * time.Millisecond)
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", and %s, which it has started, runs on: it puts itself into the background; have it stay in the foreground, as nginx does with -g 'daemon off;'",
		strings.Join(names, ", "))
}

// wrapper is what may be wrong when the signal was of no effect: only what was started has got it.
func (p *Family) wrapper() string {
	if len(p.program.Command) == 0 || !isShell(p.program.Command[0]) {
		return ""
	}
	return "; a shell keeps the signal to itself: put exec in front of the server's command, as in cmd=sh -c 'exec ...'"
}

// isShell reports whether a program is a shell, or a script for some interpreter.
func isShell(program string) bool {
	switch filepath.Base(program) {
	case "sh", "ash", "bash", "dash", "ksh", "zsh":
		return true
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var mark [2]byte
	_, err = io.ReadFull(f, mark[:])
	return err == nil && string(mark[:]) == "#!"
}

// listening is the number of sockets that listen on a port.
func listening(port uint16) (int, error) {
	counts, _, err := sockdiag.Count(port)
	return counts[sockdiag.Listen], err
}

// Alive is an error when one of the processes has ended. One that is about to end is waited for: what comes of that, such as connections
// that end, can be seen before.
func (p *Family) Alive(ctx context.Context) error {
	for _, one := range p.started {
		if one.hasEnded(ctx) {
			return fmt.Errorf("it ended by itself, with %s%s%s", one.exit(), p.background(one), one.printed())
		}
	}
	return nil
}

// Ending is Alive when clients have met with an error. It may be that not the process but one that it has started is about to end or has
// ended, and that it will end for that reason, which says more than how clients see it. So it is waited for as long as fewer listen than
// there were.
func (p *Family) Ending(ctx context.Context) error {
	const longest = 20 * time.Second
	for until := time.Now().Add(longest); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if err := p.Alive(ctx); err != nil {
			return err
		}
		// In this order, since the kernel closes what has the highest number first, and so connections before the listening socket:
		// that is closed for certain only once the process is gone.
		ends, err := p.ends()
		if err != nil {
			break
		}
		if ends {
			continue
		}
		if n, err := listening(p.Addr.Port()); err != nil || n >= len(p.started) {
			break
		}
	}
	return p.Alive(ctx)
}

// ends reports whether one of the processes and those that descend from them is about to end.
func (p *Family) ends() (bool, error) {
	members, err := p.members()
	if err != nil {
		return false, err
	}
	for pid := range members {
		if exiting(pid) {
			return true, nil
		}
	}
	return false, nil
}

// Signal sends sig to each process.
func (p *Family) Signal(sig syscall.Signal) error {
	for _, one := range p.started {
		if err := one.cmd.Process.Signal(sig); err != nil {
			return fmt.Errorf("bench: sending %s to %s: %w", sig, p.program.Name, err)
		}
	}
	return nil
}

// Gone waits until all processes have ended, those that they have started too but for successors, and returns when that was (see kernel.Now). When ctx
// ends first, which is so long after the signal, the error says what still runs.
func (p *Family) Gone(ctx context.Context, after string) (at time.Duration, err error) {
	for _, one := range p.started {
		select {
		case <-one.ended:
		case <-ctx.Done():
		}
		select {
		case <-one.ended: // both may be so
			at = max(at, one.at)
		default:
			return 0, fmt.Errorf("it still runs %s, and was killed; --timeout gives it longer%s", after, p.wrapper())
		}
	}
	for {
		left, err := p.strays.reap()
		if err != nil {
			return 0, err
		}
		if left == 0 || p.program.Successor {
			return max(at, p.strays.last), nil
		}
		select {
		case <-ctx.Done():
			if names := p.strays.names(); len(names) > 0 {
				return 0, fmt.Errorf("processes that it has started still run %s, and were killed: %s; --timeout gives them longer%s", after, strings.Join(names, ", "), p.wrapper())
			}
		case <-time.After(time.Millisecond):
		}
	}
}

// Exits says how each process has ended; all have to.
func (p *Family) Exits() []string {
	var exits []string
	for _, one := range p.started {
		<-one.ended
		exits = append(exits, one.exit())
	}
	return exits
}

// hasEnded reports whether the process has ended. If it is about to, that is waited for, also in the goroutine that learns of it.
func (p *process) hasEnded(ctx context.Context) bool {
	select {
	case <-p.ended:
		return true
	default:
	}
	if !exiting(p.cmd.Process.Pid) {
		return false
	}
	hangs := time.NewTimer(lastBreath)
	defer hangs.Stop()
	select {
	case <-p.ended:
		return true
	case <-ctx.Done():
	case <-hangs.C:
	}
	return false
}

// lastBreath is how long a process may take to end from when it is about to. It takes that long only if it hangs.
const lastBreath = time.Minute

// is reports whether that is the process, and not one that has got its number since.
func (p *process) is(pid int, k kin) bool {
	return pid == p.cmd.Process.Pid && k.began == p.began && p.began != ""
}

// exit says how the process has ended.
func (p *process) exit() string {
	if p.cmd.ProcessState == nil {
		return p.err.Error()
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit code %d", p.cmd.ProcessState.ExitCode())
}

// printed is the end of what the process has printed, for an error.
func (p *process) printed() string {
	const kept = 1 << 10
	b := make([]byte, kept)
	info, err := p.output.Stat() // a seek would be the process's own too
	if err != nil || info.Size() == 0 {
		return ""
	}
	n, _ := p.output.ReadAt(b, max(info.Size()-kept, 0))
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	return "; it printed: " + plainText(strings.Join(lines[max(0, len(lines)-3):], " | "))
}

// plainText is s without what a terminal takes for something else than text.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// Kill ends the processes that still run, with all that they have started, and waits for them.
func (p *Family) Kill() {
	// Not their groups: the number of one may be somebody else's by now. Whoever is left of it is an orphan.
	for _, one := range p.started {
		_ = one.cmd.Process.Kill()
	}
	for _, one := range p.started {
		<-one.ended
		_ = one.output.Close()
	}
	p.strays.kill()
}

// PID is the number of the first process.
func (p *Family) PID() int { return p.started[0].cmd.Process.Pid }
