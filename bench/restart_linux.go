//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/restartload"
	"rstserver/linger/sockdiag"
)

// restartRun is one life of a server: it is started, clients come, and it is restarted several times, while they go on. It is used once,
// by one goroutine.
type restartRun struct {
	Server   Server
	Clients  fleet.Mix // that the server has paths for
	Restarts int
	Rate     float64
	Late     time.Duration // how long a slow answer takes
	Window   time.Duration // that each restart is watched at least
	Timeout  time.Duration
	Patience time.Duration // that its start may take
	PIDFile  time.Duration // that its PID file may take to come from then on
	Stderr   io.Writer
	Begun    func(restart int) // nil: nobody is told
	Waiting  func(sockdiag.Counts)

	family     *process.Family
	dir        string // of files for the server
	supervised bool   // what was started only looks after the server
	pidFile    string // empty: there is none
	main       int    // the process that is told to restart
	load       *restartload.Load
	pulse      *pulse

	scanned time.Time
	most    int64         // resident, since it was set to 0
	seen    map[int]bool  // living processes, as of the last scan
	begun   int           // restarts
	spans   []restartSpan // one for each restart
}

// restartSpan is when the windows of a restart were, since the load began, and what was seen beside the load.
type restartSpan struct {
	began, ended    time.Duration // of the restart
	quiet           time.Duration // end of the window without one, which begins with ended
	server, workers time.Duration // processor time in that of the server, and of this process
	restart         report.Restart
}

// requestTimeout bounds a request of the clients.
const requestTimeout = 5 * time.Second

// measure carries out the run. An error that is a failure is the server's fault; what was seen until then is in the report all the same.
// Whatever happens, the server and its clients have ended when it returns, and nothing is left on the port.
func (r *restartRun) measure(ctx context.Context) (rep report.RestartRun, err error) {
	addr, err := run{Server: r.Server}.address()
	if err != nil {
		return rep, err
	}
	if r.dir, err = os.MkdirTemp("", "rstserver-bench-"); err != nil {
		return rep, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(r.dir)
	_ = os.Chmod(r.dir, 0o755) // servers that change their user have to come in
	r.pidFile = r.Server.pidFile(r.dir)
	defer func() {
		if _, left := kernel.Clean(ctx, addr.Port(), r.Waiting); left != nil && !errors.Is(err, left) {
			err = both(err, left)
		}
	}()
	r.family, err = r.Server.start(ctx, addr, 1, r.Stderr, r.Patience, r.dir)
	if err != nil {
		if ctx.Err() != nil {
			return rep, context.Cause(ctx)
		}
		return rep, &failure{Err: err, Unstarted: true}
	}
	defer r.family.Kill()
	if err := r.findMain(ctx); err != nil {
		return rep, err
	}
	rep.At = time.Now()
	r.load = restartload.Start(r.config())
	defer r.load.Stop()
	r.pulse = startPulse(r.load)
	defer r.pulse.stop()
	if err = r.warmUp(ctx); err == nil {
		err = r.pause(ctx, report.BeforeTimeline)
	}
	for r.begun < r.Restarts && err == nil {
		r.begun++
		if r.Begun != nil {
			r.Begun(r.begun)
		}
		err = r.restart(ctx)
	}
	r.pulse.stop()
	r.fill(&rep, r.load.Stop())
	if ctx.Err() != nil {
		return rep, context.Cause(ctx)
	}
	return rep, err
}

// config is the load of the clients.
func (r *restartRun) config() restartload.Config {
	n := make(map[kinds.Kind]int)
	for _, s := range r.Clients {
		n[s.Kind] += s.N
	}
	p := r.Server.Paths
	return restartload.Config{
		Addr: r.family.Addr.String(), Rate: r.Rate, Timeout: requestTimeout + r.Late, ProcessField: r.Server.Process,
		New: n[kinds.Get], Kept: n[kinds.Post], Slow: n[kinds.InFlight], Upload: n[kinds.Upload], Idle: n[kinds.Idle], WebSocket: n[kinds.WebSocket], SSE: n[kinds.SSE],
		Path: p.Get, PostPath: p.Post, SlowPath: p.LateBy(r.Late), UploadPath: p.Upload, WebSocketPath: p.WebSocket, EventsPath: p.Events,
	}
}

// findMain finds who is told first: whom the file names, or who was started.
func (r *restartRun) findMain(ctx context.Context) error {
	r.main = r.family.PID()
	if r.pidFile == "" {
		return nil
	}
	err := r.until(ctx, r.PIDFile, func() (bool, error) {
		pid := readPID(r.pidFile)
		if !r.seen[pid] { // nor is it one that somebody else has left there
			return false, nil
		}
		r.main, r.supervised = pid, pid != r.family.PID()
		return true, nil
	}, errOverdue)
	if !errors.Is(err, errOverdue) {
		return err
	}
	if pid := readPID(r.pidFile); pid != 0 {
		return failed(fmt.Errorf("its PID file, %s, names process %d after %s, which is none of it: have the server write it, or leave pidfile= away", r.shown(r.pidFile), pid, r.PIDFile))
	}
	return failed(fmt.Errorf("there is no number in its PID file, %s, after %s: have the server write it, or leave pidfile= away", r.shown(r.pidFile), r.PIDFile))
}

// shown is a path without what is another one in each run.
func (r *restartRun) shown(path string) string { return strings.Replace(path, r.dir, "{dir}", 1) }

// readPID is the number in a file, 0 if there is none.
func readPID(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return max(n, 0)
}

// warmUp waits until every client has had an answer.
func (r *restartRun) warmUp(ctx context.Context) error {
	all := int64(r.Clients.Total())
	return r.until(ctx, r.Patience, func() (bool, error) {
		if lost := r.load.First(); lost != nil {
			return false, failed(fmt.Errorf("it lost requests before it was restarted: %s of a %s client: %w", lost.Loss, lost.Kind, lost.Err))
		}
		return r.load.Ready() >= all, nil
	}, fmt.Errorf("not every client has had an answer after %s", r.Patience))
}

// until looks at what is going on until done says that it is done, and fails after a time with what has not happened then.
func (r *restartRun) until(ctx context.Context, timeout time.Duration, done func() (bool, error), otherwise error) error {
	for deadline := time.Now().Add(timeout); ; {
		if err := r.look(busyInterval); err != nil {
			return err
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return failed(otherwise)
		}
		time.Sleep(lookInterval)
	}
}

const (
	// lookInterval is how often it is looked who has ended, and scanInterval how often who is there and what memory that takes, which takes
	// some milliseconds; busyInterval while processes come and go, so that an old one and a new one are seen together.
	lookInterval = time.Millisecond
	busyInterval = 20 * time.Millisecond
	scanInterval = 50 * time.Millisecond
)

// look scans the processes of the server, if the last time is so long ago.
func (r *restartRun) look(every time.Duration) error {
	if time.Since(r.scanned) < every {
		return nil
	}
	return r.scan()
}

func (r *restartRun) scan() error {
	r.scanned = time.Now()
	living, err := r.living()
	if err != nil {
		return err
	}
	var total int64
	r.seen = make(map[int]bool, len(living))
	for pid, n := range living {
		r.seen[pid] = true
		total += n
	}
	r.most = max(r.most, total)
	return nil
}

// living are the processes of the server, without one that only looks after them.
func (r *restartRun) living() (map[int]int64, error) {
	living, err := r.family.Living()
	if r.supervised {
		delete(living, r.family.PID())
	}
	return living, err
}

// restart restarts the server once. Behind that as much time goes by without a restart.
func (r *restartRun) restart(ctx context.Context) error {
	r.most = 0
	if err := r.scan(); err != nil {
		return err
	}
	s := restartSpan{restart: report.Restart{Resident: r.most}}
	if !r.seen[r.main] {
		return failed(fmt.Errorf("it has ended by itself, without a restart%s", r.family.Printed()))
	}
	death, err := r.family.Watch(r.main)
	if err != nil {
		return err
	}
	defer death.Close()
	c := &changeover{r: r, before: maps.Clone(r.seen), main: r.main, death: death}
	s.began = r.load.Since()
	began := kernel.Now()
	failure := c.carryOut(ctx)
	if failure == nil {
		failure = r.pause(ctx, max(r.Window-(r.load.Since()-s.began), settling))
	}
	if ctx.Err() != nil { // what was cut short is no restart
		return context.Cause(ctx)
	}
	if err := r.scan(); err != nil {
		return err
	}
	death.Look()
	if failure != nil && !c.changed() { // what was not restarted has cost nothing that could be told
		return failure
	}
	s.ended = r.load.Since()
	s.restart.ResidentMost = r.most
	if gone, ok := c.gone(); ok {
		after := max(gone-began, 0)
		s.restart.Gone = &after
	}
	s.restart.InPlace = c.inPlace
	if failure == nil {
		failure = r.succeed(c)
	}
	if failure == nil {
		failure = r.rest(ctx, &s)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.quiet == 0 {
		s.quiet = s.ended
	}
	r.spans = append(r.spans, s)
	return failure
}

// rest is a window without a restart, as long as that of s.
func (r *restartRun) rest(ctx context.Context, s *restartSpan) error {
	used, busy, err := r.usage()
	if err != nil {
		return err
	}
	if err := r.pause(ctx, s.ended-s.began); err != nil {
		return err
	}
	s.quiet = r.load.Since()
	usedThen, busyThen, err := r.usage()
	s.server, s.workers = usedThen-used, busyThen-busy
	return err
}

// settling is how long a restart is watched when it is over.
const settling = 200 * time.Millisecond

// pause lets time go by.
func (r *restartRun) pause(ctx context.Context, d time.Duration) error {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); {
		if err := r.look(scanInterval); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(scanInterval, time.Until(deadline))):
		}
	}
	return nil
}

// usage is how long the server and this process have run on processors.
func (r *restartRun) usage() (server, workers time.Duration, err error) {
	used, _, err := r.family.Usage()
	if err != nil {
		return 0, 0, err
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, 0, os.NewSyscallError("getrusage", err)
	}
	return used.Total, time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// succeed finds who is the main process now.
func (r *restartRun) succeed(c *changeover) error {
	switch pid, now := c.successor(); {
	case now:
		r.main = pid
	case c.death.Lives(r.main):
	default:
		heir, err := r.family.Heir(c.before)
		if err != nil {
			return failed(err)
		}
		r.main = heir
	}
	return nil
}
