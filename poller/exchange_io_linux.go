//go:build linux

package poller

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
)

// receive reads from the connection, and waits for input. It returns io.EOF when the client has sent FIN, errStalled after
// BodyTimeout. One goroutine at a time may call it: that which holds body.mu.
func (x *exchange) receive(p []byte) (int, error) {
	for {
		n, wait, err := x.tryReceive(p)
		if err != nil || n > 0 {
			return n, err
		}
		if err := x.await(wait, x.run.cfg.bodyTimeout, x.read.wait()); err != nil {
			return 0, err
		}
	}
}

// tryReceive reads what there is. Without an error and bytes there is nothing, and wait gets an element when there may be.
func (x *exchange) tryReceive(p []byte) (n int, wait <-chan struct{}, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch why := x.whyNotLocked(); {
	case x.readClosed && x.state != hijacked:
		return 0, nil, http.ErrBodyReadAfterClose
	case why != nil:
		return 0, nil, why
	case x.read.passed():
		return 0, nil, os.ErrDeadlineExceeded
	}
	for {
		n, err := unix.Read(x.fd, p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			wait, err := x.watchLocked(&x.in, unix.EPOLLIN)
			return 0, wait, err
		case err != nil:
			return 0, nil, os.NewSyscallError("read", err)
		case n == 0:
			return 0, nil, io.EOF
		default:
			return n, nil, nil
		}
	}
}

// stopReading fails the reads of the request's content, also one that waits.
func (x *exchange) stopReading() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.readClosed = true
	x.signalLocked()
}

// send writes all of bufs, the bytes of a final answer, and waits for the kernel to take them. A client that acknowledges
// nothing for WriteTimeout is aborted. One goroutine at a time may call it: that which holds responseWriter.mu. The elements
// of bufs are used up.
func (x *exchange) send(bufs ...[]byte) error {
	bufs = slices.DeleteFunc(bufs, func(b []byte) bool { return len(b) == 0 })
	for {
		left, wait, err := x.trySend(bufs)
		if err != nil || len(left) == 0 {
			return err
		}
		bufs = left
		unacked := x.unacked()
		switch err := x.await(wait, x.run.cfg.writeTimeout, x.write.wait()); {
		case err == errStalled && x.unacked() < unacked:
			// The kernel takes more only when a good part of its buffer is free, which a slow reader may need long for.
		case err == errStalled:
			x.abort()
			return err
		case err != nil:
			return err
		}
	}
}

// trySend writes what the kernel takes and returns what it does not.
func (x *exchange) trySend(bufs [][]byte) (left [][]byte, wait <-chan struct{}, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if why := x.whyNotLocked(); why != nil {
		return nil, nil, why
	}
	if x.write.passed() {
		return nil, nil, os.ErrDeadlineExceeded
	}
	for len(bufs) > 0 {
		var n int
		if len(bufs) == 1 {
			n, err = unix.Write(x.fd, bufs[0])
		} else {
			n, err = unix.Writev(x.fd, bufs)
		}
		switch err {
		case nil:
			x.wrote = true
			for n > 0 {
				m := min(n, len(bufs[0]))
				n -= m
				if bufs[0] = bufs[0][m:]; len(bufs[0]) == 0 {
					bufs = bufs[1:]
				}
			}
		case unix.EINTR:
		case unix.EAGAIN:
			wait, err := x.watchLocked(&x.out, unix.EPOLLOUT)
			return bufs, wait, err
		default:
			// EPIPE, ECONNRESET, ETIMEDOUT: nothing that is sent can arrive any more.
			return bufs, nil, os.NewSyscallError("write", err)
		}
	}
	return nil, nil, nil
}

// sendContinue asks for the request's content, once, unless the answer is on its way already, and reports whether the client
// has been asked: if not, what comes next may be the content, or another request.
func (x *exchange) sendContinue() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.continued {
		x.continued = x.sendInterimLocked(httpcodec.AppendContinue(nil))
	}
	return x.continued
}

// sendInterim writes an interim answer (RFC 9110, section 15.2), which a client that takes nothing at present does without.
func (x *exchange) sendInterim(b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sendInterimLocked(b)
}

func (x *exchange) sendInterimLocked(b []byte) (sent bool) {
	if !x.isMineLocked() || x.wrote {
		return false
	}
	n, err := unix.Write(x.fd, b)
	if err == nil && n < len(b) {
		x.abortLocked()
	}
	return err == nil && n == len(b)
}

// watchLocked has the watcher put an element into *signal when one of events has come.
func (x *exchange) watchLocked(signal *chan struct{}, events uint32) (<-chan struct{}, error) {
	if *signal == nil {
		*signal = make(chan struct{}, 1)
	}
	if err := x.run.watcher.Add(x.fd, x, events); err != nil {
		return nil, fmt.Errorf("poller: waiting for the client: %w", err)
	}
	return *signal, nil
}

// Ready implements watch.Waiter.
func (x *exchange) Ready(events uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if events&unix.EPOLLIN != 0 {
		signal(x.in)
	}
	if events&unix.EPOLLOUT != 0 {
		signal(x.out)
	}
}

// signalLocked ends all waits, whatever they are for.
func (x *exchange) signalLocked() {
	signal(x.in)
	signal(x.out)
}

// wake has those who wait look at their deadlines again.
func (x *exchange) wake() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.signalLocked()
	return x.whyNotLocked()
}

// setDeadline sets one of the deadlines, also for those who wait already.
func (x *exchange) setDeadline(d *deadline, t time.Time) error {
	d.set(t)
	err := x.wake()
	if err != nil {
		d.stop()
	}
	return err
}

// cutShort fails the writes of the answer from here on, also one that waits.
func (x *exchange) cutShort() {
	x.write.set(time.Unix(0, 0))
	_ = x.wake()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}: // never for nil
	default:
	}
}

// await waits for an element, for at most so long if timeout is not zero.
func (x *exchange) await(signal <-chan struct{}, timeout time.Duration, deadline <-chan struct{}) error {
	var stalled <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		stalled = t.C
	}
	select {
	case <-signal:
		return nil
	case <-deadline:
		return os.ErrDeadlineExceeded
	case <-stalled:
		return errStalled
	}
}

// abort resets the connection. Its loop will find out.
func (x *exchange) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isMineLocked() {
		x.abortLocked()
	}
}

func (x *exchange) abortLocked() {
	// A refusal has armed the connection, so that closing it has the same effect.
	_, _ = x.run.table.Abort(x.fd)
}

// unacked is how much the client has not acknowledged of what was handed to the kernel (SIOCOUTQ, tcp(7)), 0 when there is
// no connection any more.
func (x *exchange) unacked() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.isMineLocked() {
		return 0
	}
	n, _ := unix.IoctlGetInt(x.fd, unix.SIOCOUTQ)
	return n
}
