//go:build linux

package poller

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"

	"rstserver/linger"
)

// What http.ResponseController asks a responseWriter for, beside Flush.

// SetReadDeadline sets the time from which on reads of the request's content fail with os.ErrDeadlineExceeded, in this request. The zero
// time means that there is no deadline beside BodyTimeout.
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	return w.x.setDeadline(&w.x.read, t)
}

// SetWriteDeadline sets the time from which on writes of the answer fail with os.ErrDeadlineExceeded; one that has failed cannot be made
// up for, and the connection will be aborted. The zero time means that there is no deadline beside WriteTimeout.
func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	return w.x.setDeadline(&w.x.write, t)
}

// EnableFullDuplex keeps the connection after an answer whose head was sent while content in chunks was still to come. A
// handler may always read and write as it likes; but without this such an answer is the last, as with what nobody knows the length
// of the client could go on for ever.
func (w *responseWriter) EnableFullDuplex() error {
	w.mu.Lock()
	defer w.unlock()
	w.fullDuplex = true
	return nil
}

// CloseNotify implements http.CloseNotifier, which is deprecated, but which some frameworks take for granted. The channel
// gets an element when the context of the request ends before the handler has returned.
func (w *responseWriter) CloseNotify() <-chan bool {
	w.mu.Lock()
	defer w.unlock()
	if w.gone == nil {
		gone, ctx := make(chan bool, 1), (*requestContext)(w.x)
		w.gone = gone
		context.AfterFunc(ctx, func() {
			if context.Cause(ctx) != context.Canceled {
				gone <- true
			}
		})
	}
	return w.gone
}

// Hijack implements http.Hijacker: it hands the connection over to the caller, who has to close it. The server goes on to
// keep track of it: it counts as a connection, and Close resets it. The net.Conn's Close ends it with FIN, unless its
// SetLinger was called, which is there as with a net.TCPConn. With TLS the net.Conn is a *tls.Conn. What a drain is to do with it, whoever has it
// does when its turn comes: see [linger.Turn].
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, user, rw, err := w.hijack()
	if err != nil {
		w.x.tooLate(c)
		return nil, nil, err
	}
	w.report()
	return user, rw, nil
}

func (w *responseWriter) hijack() (c *linger.Conn, user net.Conn, rw *bufio.ReadWriter, err error) {
	w.mu.Lock()
	defer w.unlock()
	if why := w.whyNot(); why != nil {
		return nil, nil, nil, why
	}
	if w.status != 0 && (!w.encoded || len(w.w.content) > 0) {
		// A head that is written, such as that of 101, is sent, whether or not there is content.
		if err := w.emit(nil, false); err != nil {
			return nil, nil, nil, err
		}
	}
	if c, user, rw, err = w.x.hijack(); err == nil {
		w.closeBuffers()
	}
	return c, user, rw, err
}

var _ http.Hijacker = (*responseWriter)(nil)
