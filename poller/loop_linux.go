//go:build linux

package poller

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rstserver/httpcodec"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// loop is one event loop: an engine, the connections that it accepted, and the buffers that serve them one after the other. It
// outlives the runs of its engine: one that ends unasked is followed by another.
type loop struct {
	run       *run // immutable, as are the next three
	index     int  // the owner of its connections in the table
	log       *slog.Logger
	engine    *engine.Loop
	counts    counts                     // any goroutine's
	durations [maxTimeouts]time.Duration // immutable, but for those of protocols, which its goroutine adds

	sweeping atomic.Bool  // the loop resets its connections, or has
	handling atomic.Int64 // the descriptor of the connection whose handler was called last

	mu    sync.Mutex // guards turns
	turns turns

	// Owned by the goroutine that runs the engine, of which there is one at a time.
	clock     clock
	request   Request
	respond   Responder
	lastHead  lastHead
	out       []byte // answers of the batch that is being served
	body      []byte // content of a chunked request that came whole
	piece     []byte // of a source
	plain     []byte // what was in TLS records
	lists     [maxTimeouts]timeoutList
	alarm     alarm
	toClose   []*conn         // reset by a drain
	meters    map[*conn]meter // nil while memory is not short
	uncharged int64           // bytes; see charge
	ending    bool            // a drain has come to ending what is idle
	endingAt  time.Duration   // when
	isCloser  bool            // it has an element in run.closers
	late      linger.Sweep    // what abortCounted did in a teardown; others read it after ended
	drained   linger.Sweep    // what it did in a drain; others read it after swept or ended

	ready   chan struct{} // closed when the first engine polls the listener
	isReady bool          // owned by the engine's goroutine
	swept   chan struct{} // closed when sweep holds what the loop aborted
	sweep   linger.Sweep
	sweptAt time.Time     // likewise
	hasShed chan struct{} // closed when shed has returned
	ended   chan struct{} // closed when no engine runs any more, and none will
	stuck   bool          // it did not do its part of the teardown in time; owned by that
}

func newLoop(r *run, index int, log *slog.Logger) *loop {
	l := &loop{
		run: r, index: index, log: log, durations: r.cfg.durations(),
		ready: make(chan struct{}), swept: make(chan struct{}), hasShed: make(chan struct{}), ended: make(chan struct{}),
	}
	l.engine = engine.NewLoop(r.port, l)
	l.handling.Store(-1)
	return l
}

// Back-off between an engine that ended unasked and the next. An engine that held out for steadyAfter counts as recovered.
const (
	restartDelay    = 10 * time.Millisecond
	restartDelayMax = time.Second
	restartLimit    = 10 // failures in a row
	steadyAfter     = 10 * time.Second
)

// serve runs engines until the teardown begins or restartLimit of them have failed in a row. It owns the loop.
func (l *loop) serve() {
	defer close(l.ended)
	delay, failures := restartDelay, 0
	for {
		began := time.Now()
		err := l.engine.Run(func() {
			if !l.isReady {
				l.isReady = true
				close(l.ready)
			}
		})
		l.engineEnded()
		if l.isCloser {
			<-l.run.closers
		}
		if l.run.lettingGo() {
			return
		}
		if !l.isReady {
			l.run.failed <- fmt.Errorf("poller: event loop %d does not start: %w", l.index, err)
			return
		}
		if time.Since(began) > steadyAfter {
			delay, failures = restartDelay, 0
		}
		if failures++; failures > restartLimit {
			l.run.failed <- fmt.Errorf("poller: event loop %d ended %d times in a row: %w", l.index, failures, err)
			return
		}
		l.log.Error("event loop ended unasked, its connections were aborted; restarting it",
			"error", err, "delay", delay, "failures_in_a_row", failures)
		select {
		case <-l.run.closingC:
			return
		case <-time.After(delay):
		}
		delay = min(2*delay, restartDelayMax)
	}
}

// post gives the loop f to run, and reports whether it was taken. A task that was taken can still be dropped when the engine
// ends, so whoever waits for it waits for ended too. Any goroutine may call it, the loop's own too.
func (l *loop) post(f func()) bool { return l.engine.Post(f) }

// engineEnded drops what the engine leaves undone.
func (l *loop) engineEnded() {
	l.alarm.stop()
	l.toClose = nil
	l.dropTurns()
}

// limits for a request's head.
func (l *loop) limits() httpcodec.Limits {
	return httpcodec.Limits{HeaderBytes: l.run.cfg.maxHeaderBytes, Fields: l.run.cfg.maxFields,
		LaxTarget: !l.run.server.StrictTargets}
}
