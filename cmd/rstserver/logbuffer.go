package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// logBuffer keeps lines until a writer takes them, so that a reader who has stalled holds up neither the event loops nor a
// teardown. Beyond a limit lines are dropped and counted. Write may be called from any goroutine.
type logBuffer struct {
	w     io.Writer
	limit int                    // of bytes that wait
	note  func(lines int) []byte // the line that says how many were dropped; called by the buffer's goroutine

	mu      sync.Mutex // guards what follows
	waiting []byte
	spare   []byte // memory for waiting
	dropped int
	closed  bool
	wake    chan struct{} // holds an element when run has something to see

	taken chan struct{} // an element for each piece that w has taken, if somebody waits for it
	done  chan struct{}
}

const (
	logBufferBytes = 64 << 20
	logPiece       = 32 << 10
	// logSpare is up to what size memory is kept for further lines.
	logSpare = 1 << 20
	// logPatience is how long a writer that takes nothing is waited for in the end.
	logPatience = time.Second
)

func newLogBuffer(w io.Writer, note func(int) []byte) *logBuffer {
	b := &logBuffer{w: w, limit: logBufferBytes, note: note, wake: make(chan struct{}, 1), taken: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b
}

// Write implements io.Writer for whole lines. It does not wait, and does not fail.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting)+len(p) > b.limit {
		b.dropped++
	} else {
		b.waiting = append(b.waiting, p...)
	}
	b.signal()
	return len(p), nil
}

func (b *logBuffer) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *logBuffer) run() {
	defer close(b.done)
	for {
		<-b.wake
		b.mu.Lock()
		out, dropped, closed := b.waiting, b.dropped, b.closed
		b.waiting, b.spare, b.dropped = b.spare, nil, 0
		b.mu.Unlock()
		if dropped > 0 {
			out = append(out, b.note(dropped)...)
		}
		for rest := out; len(rest) > 0; {
			n := wholeLines(rest, logPiece)
			// Where it cannot be written to, there is nobody to tell from here.
			_, _ = b.w.Write(rest[:n])
			rest = rest[n:]
			select {
			case b.taken <- struct{}{}:
			default:
			}
		}
		if closed {
			return
		}
		if cap(out) <= logSpare {
			b.mu.Lock()
			b.spare = out[:0]
			b.mu.Unlock()
		}
	}
}

// wholeLines is how much of the lines in p to write at once: as many as fit n bytes, and one if none does. What is read or
// cut off between two writes (logrotate's copytruncate) begins and ends with a line then.
func wholeLines(p []byte, n int) int {
	if len(p) <= n {
		return len(p)
	}
	if end := bytes.LastIndexByte(p[:n], '\n'); end >= 0 {
		return end + 1
	}
	if end := bytes.IndexByte(p[n:], '\n'); end >= 0 {
		return n + end + 1
	}
	return len(p)
}

// close waits until all is written, or until nothing has been taken for logPatience.
func (b *logBuffer) close() {
	b.mu.Lock()
	b.closed = true
	b.signal()
	b.mu.Unlock()
	for {
		select {
		case <-b.done:
			return
		case <-b.taken:
		case <-time.After(logPatience):
			return
		}
	}
}
