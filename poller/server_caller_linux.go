//go:build linux

package poller

import (
	"bytes"
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A handler may end the server that runs it: what it has written so far is meant for its client, and goes out first. Close and
// Shutdown have nothing in hand to tell the handler by but the goroutine that they are called on, which is that of the worker. A
// handler that runs elsewhere, as under http.TimeoutHandler, or has another goroutine call Close, is not recognised, and what middleware
// holds back is not there to be sent. AfterAnswer needs no guess.

// AfterAnswer calls f, on a goroutine of its own, when the answer to a request has been sent and its client has
// acknowledged it, or does not do so within a second, or the connection has ended. ctx is the context of the [http.Request], or
// derived from it, whatever goroutine has it and whatever http.Handler stands between. It is for a handler that ends its server:
//
//	poller.AfterAnswer(r.Context(), func() { srv.Close() })
//	io.WriteString(w, "goodbye")
//
// Several functions are called one after the other. Where the handler has hijacked the connection there is no answer to wait for,
// and f is called when the handler has returned. AfterAnswer reports whether f will be called: not for a context that is none of a
// request of this package's Server, or after the handler has returned. Any goroutine may call it.
func AfterAnswer(ctx context.Context, f func()) bool {
	if w, ok := ctx.Value(h2WriterKey{}).(*h2Writer); ok {
		return w.afterAnswer(f)
	}
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.served {
		return false
	}
	x.after = append(x.after, f)
	return true
}

// runAfter calls what AfterAnswer has been given, when the handler has returned.
func (x *exchange) runAfter() {
	x.mu.Lock()
	after := x.after
	x.served = true
	x.mu.Unlock()
	if len(after) == 0 {
		return
	}
	go func() {
		x.awaitLoop()
		for _, f := range after {
			f()
		}
	}()
}

// awaitLoop waits until the loop, which has the connection back, has no answer left that is to be sent or acknowledged, for at most
// lastWords.
func (x *exchange) awaitLoop() {
	over := time.After(lastWords)
	for {
		done := make(chan bool, 1)
		if !x.loop.post(func() {
			c := x.conn
			sent := false
			switch {
			case c.lease == x && x.now() != left: // the loop may be in the middle of giving turns, and come to this one later
			case c.lease != nil && c.lease != x: // another request has the connection, for which all before it has been sent
				sent = true
			default:
				sent = c.sentAll()
			}
			done <- c.over() || sent && c.unacked() == 0
		}) {
			return
		}
		select {
		case acked := <-done:
			if acked {
				return
			}
			time.Sleep(queueInterval)
		case <-x.loop.ended:
			return
		case <-over:
			return
		}
	}
}

// goroutineID is what tells the calling goroutine from all others, from the first line of its stack trace: "goroutine 18
// [running]:". There is no other way to ask for it.
func goroutineID() []byte {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	trace = bytes.TrimPrefix(trace, []byte("goroutine "))
	id, _, _ := bytes.Cut(trace, []byte(" "))
	return bytes.Clone(id)
}

// caller returns the exchange whose handler the calling goroutine runs, nil if it runs none.
func (p *pool) caller() *exchange {
	id := goroutineID()
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.all {
		if x, ok := w.job.(*exchange); ok && bytes.Equal(w.id, id) {
			return x
		}
	}
	return nil
}

// completeCaller completes the answer of the handler that is on the calling goroutine, if it is one, as it stands: a handler
// that says goodbye and lets go of the port means what it has said. The connection remains lent. x is nil if there was
// nothing to complete. A client that takes nothing holds it up until ctx ends; the answer is cut off then.
func (s *Server) completeCaller(ctx context.Context) (x *exchange, o outcome) {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil {
		return nil, outcome{}
	}
	if x = r.pool.caller(); x == nil {
		return nil, outcome{}
	}
	defer context.AfterFunc(ctx, x.cutShort)()
	o, ok := x.writer.finish(true)
	if !ok {
		return nil, outcome{}
	}
	return x, o
}

// lastWords is how long is waited for the client of a handler that ends its server to take and acknowledge the answer.
const lastWords = time.Second

// sayLastWords completes the answer of the handler that calls Close, and waits until the client has acknowledged all of it.
func (s *Server) sayLastWords() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	x, o := s.completeCaller(ctx)
	if x == nil || o.kind > lastToEnd {
		return
	}
	if o.kind == lastToEnd {
		x.mu.Lock()
		if x.isMineLocked() {
			_ = x.tls.closeNotify()
			_ = unix.Shutdown(x.fd, unix.SHUT_WR) // it fails when the client has reset it
		}
		x.mu.Unlock()
	}
	ticker := time.NewTicker(queueInterval)
	defer ticker.Stop()
	for x.unacked() > 0 && ctx.Err() == nil {
		<-ticker.C
	}
}
