//go:build linux

package poller

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/internal/tcpsock"
)

// side is one direction of the connection, for the handler. Guarded by exchange.mu.
type side struct {
	ready    chan struct{} // capacity 1; an element says to look again; nil until somebody waits
	deadline time.Time     // set by the handler, by http.ResponseController; zero: none
}

func (s *side) signal() {
	select {
	case s.ready <- struct{}{}: // never for nil
	default:
	}
}

// receiveWithin reads from the connection, and waits for input for so long; zero means any time, and less none. It returns io.EOF when the
// client has sent FIN, and errStalled when the time is over. One goroutine at a time may call it: that which holds body.mu.
func (x *exchange) receiveWithin(timeout time.Duration, p []byte) (n int, err error) {
	err = x.transfer(&x.read, unix.EPOLLIN, timeout, func() (err error) {
		n, err = x.readLocked(p)
		return err
	})
	return n, err
}

// readLocked reads what there is, or returns an error that is unix.EAGAIN. At the client's FIN, or close_notify, it returns io.EOF.
func (x *exchange) readLocked(p []byte) (int, error) {
	if x.tls == nil || x.shakes {
		return readDescriptor(x.fd, p)
	}
	return x.tls.read(p)
}

// readDescriptor is read(2).
func readDescriptor(fd int, p []byte) (n int, err error) {
	n, err = tcpsock.Recv(fd, p)
	for err == unix.EINTR {
		n, err = tcpsock.Recv(fd, p)
	}
	switch {
	case err == unix.EAGAIN:
		return 0, err
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// send writes all of bufs, the bytes of a final answer, and waits for the kernel to take them. A client that acknowledges
// nothing for WriteTimeout is aborted. One goroutine at a time may call it: that which holds responseWriter.mu. The elements
// of bufs are used up.
func (x *exchange) send(bufs ...[]byte) error {
	bufs = slices.DeleteFunc(bufs, func(b []byte) bool { return len(b) == 0 })
	err := x.transfer(&x.write, unix.EPOLLOUT, x.run.cfg.writeTimeout, func() error {
		for len(bufs) > 0 || x.tls.blocked() {
			n, err := x.writeLocked(bufs)
			for x.wrote = x.wrote || n > 0; n > 0; {
				m := min(n, len(bufs[0]))
				n -= m
				if bufs[0] = bufs[0][m:]; len(bufs[0]) == 0 {
					bufs = bufs[1:]
				}
			}
			if err != nil { // EPIPE, ECONNRESET, ETIMEDOUT: nothing that is sent can arrive any more
				return os.NewSyscallError("write", err)
			}
		}
		return nil
	})
	return x.stalls(err)
}

// stalls aborts a client that has not taken its answer in time. It returns err.
func (x *exchange) stalls(err error) error {
	if err == errStalled {
		x.abort()
	}
	return err
}

// writeLocked writes of bufs what the kernel takes, by write(2), or by writev(2), which package unix allocates for. TLS has taken n bytes
// even if the kernel takes nothing more.
func (x *exchange) writeLocked(bufs [][]byte) (n int, err error) {
	switch {
	case x.tls != nil && !x.shakes:
		// What is encrypted has to be sent, so nothing is as long as nothing of the answer can go out: 503 may have to take its place.
		if x.behind && !x.wrote && !writable(x.fd) {
			return 0, unix.EAGAIN
		}
		return x.tls.write(gather(bufs))
	case len(bufs) == 1 && x.more:
		n, err = unix.SendmsgN(x.fd, bufs[0], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
	case len(bufs) == 1:
		n, err = tcpsock.Send(x.fd, bufs[0])
	default:
		n, err = unix.Writev(x.fd, bufs)
	}
	return max(n, 0), err
}

// transfer makes the system calls of call, which fail with EAGAIN where the client is not ready: then it waits for one of events, for
// at most timeout, if that is not zero; less is no time. A client that is written to and acknowledges something has as long again.
func (x *exchange) transfer(s *side, events uint32, timeout time.Duration, call func() error) error {
	for {
		due, err := x.attempt(s, events, call)
		switch {
		case !errors.Is(err, unix.EAGAIN):
			return err
		case timeout < 0:
			return errStalled
		}
		unacked, began := x.unacked(), time.Now()
		rate := int64(0) // that the client has to keep to, in taking its answer
		if s == &x.write && !x.shakes && !x.writer.isStream {
			rate = x.run.cfg.minWriteRate
		}
		timeout := timeout
		switch {
		case rate > 0 && (timeout == 0 || x.writer.spare < timeout):
			timeout = max(x.writer.spare, 1)
		case s == &x.read && !x.shakes && x.run.ending.Load() && (timeout == 0 || drainPatience < timeout):
			timeout = drainPatience
		}
		var stalled <-chan time.Time
		if left := time.Until(due); !due.IsZero() && (timeout <= 0 || left < timeout) {
			stalled = time.After(left) // the deadline, at which the attempt fails
		} else if timeout > 0 {
			stalled = time.After(timeout)
			due = time.Time{}
		}
		late := false
		held := x.holdWaiting()
		x.stopComputing()
		select {
		case <-s.ready:
		case <-stalled:
			late = true
		}
		x.startComputing()
		x.hold(-held)
		if rate > 0 {
			x.writer.spare += worth(int64(unacked-x.unacked()), rate) - time.Since(began)
			if x.writer.spare < 0 {
				return errStalled
			}
		}
		// The kernel takes more only when a good part of its buffer is free, which a slow reader may need long for.
		if late && due.IsZero() && (s == &x.read || x.unacked() >= unacked) {
			return errStalled
		}
	}
}

// writable reports whether the kernel takes output.
func writable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	return err != nil || n > 0
}

// attempt is call where the exchange has its connection. After EAGAIN an element comes to s.ready, when there is one of events or
// something has changed, and due is the deadline.
func (x *exchange) attempt(s *side, events uint32, call func() error) (due time.Time, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch why := x.whyNotLocked(); {
	case s == &x.read && x.readClosed && x.state != hijacked:
		return due, http.ErrBodyReadAfterClose
	case why != nil:
		return due, why
	case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
		return due, os.ErrDeadlineExceeded
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = call()
	}
	if errors.Is(err, unix.EAGAIN) {
		if s.ready == nil {
			s.ready = make(chan struct{}, 1)
		}
		if err := x.run.watcher.Add(x.fd, x, events); err != nil {
			return due, fmt.Errorf("poller: waiting for the client: %w", err)
		}
	}
	return s.deadline, err
}

// Ready implements watch.Waiter.
func (x *exchange) Ready(events uint32) {
	x.mu.Lock()
	if events&unix.EPOLLIN != 0 {
		x.read.signal()
	}
	if events&unix.EPOLLOUT != 0 {
		x.write.signal()
	}
	x.mu.Unlock()
	if !x.shakes && events&x.finEvents() != 0 && x.halfClosed() {
		x.end(errHalfClosed)
	}
}

// awaitFINLocked makes the client's FIN end the request's context, once there is nothing of its content to come: what a client
// sends after that is the next request, and one that ends its side has most likely gone. A quick handler costs nothing so, and
// another one an epoll_ctl.
func (x *exchange) awaitFINLocked() {
	switch {
	case x.state != handling || x.body.rest.Load() != 0 || x.run.server.AllowHalfClose:
	case x.tls.ended():
		x.loop.post(func() { x.Ready(x.finEvents()) }) // the kernel has nothing to report: it was read with the request
	default:
		_ = x.run.watcher.Add(x.fd, x, x.finEvents()) // without it a reset is noticed still
	}
}

// finEvents are those by which the client's end of its side is noticed. That of TLS is a message.
func (x *exchange) finEvents() uint32 {
	if x.secure {
		return unix.EPOLLIN | unix.EPOLLRDHUP
	}
	return unix.EPOLLRDHUP
}

// awaitFIN is that for content that has come to its end.
func (x *exchange) awaitFIN() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.awaitFINLocked()
}

// halfClosed reports whether the client has sent FIN, and no request before it that waits. It is called when awaitFIN's event
// has come, which can be that of a connection before under the same number.
func (x *exchange) halfClosed() bool {
	if x.secure {
		return x.body.endsBehind()
	}
	if !x.body.nothingBehind() {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.isMineLocked() {
		return false
	}
	n, _, err := unix.Recvfrom(x.fd, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == unix.EAGAIN || err == unix.EINTR {
		x.awaitFINLocked()
		return false
	}
	return n == 0 && err == nil // a reset is the loop's to notice
}

// readBehind reports whether what comes next, with TLS, is the end of the client's side. What comes in its place is appended to input.
func (x *exchange) readBehind(input *[]byte) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.isMineLocked() {
		return false
	}
	var p [512]byte
	n, err := x.readLocked(p[:])
	*input = append(*input, p[:n]...)
	if err == unix.EAGAIN {
		x.awaitFINLocked()
	}
	return err == io.EOF || errors.Is(err, errCutOff)
}

// readBuffered appends to input what TLS has read, and nobody has taken.
func (x *exchange) readBuffered(input *[]byte) {
	if !x.secure {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isMineLocked() {
		*input = x.tls.open(*input, nil)
	}
}

// signalLocked wakes all who wait, to look again.
func (x *exchange) signalLocked() {
	x.read.signal()
	x.write.signal()
}

// lookAgain lets one who waits for input find out that a drain is not to wait for ever.
func (x *exchange) lookAgain() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.read.signal()
}

// stopReading fails the reads of the request's content, also one that waits.
func (x *exchange) stopReading() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.readClosed = true
	x.signalLocked()
}

// setDeadline sets that of one of the sides, also for those who wait already.
func (x *exchange) setDeadline(s *side, t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	s.deadline = t
	s.signal()
	return x.whyNotLocked()
}

// cutShort fails the writes of the answer from here on, also one that waits.
func (x *exchange) cutShort() { _ = x.setDeadline(&x.write, time.Unix(0, 0)) }

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
	if x.tls.blocked() {
		return false
	}
	n, _ := x.writeLocked([][]byte{b})
	if 0 < n && n < len(b) {
		x.abortLocked()
	}
	return n == len(b)
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
