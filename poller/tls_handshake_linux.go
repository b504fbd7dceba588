//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"rstserver/internal/tcpsock"
)

var (
	// errHandshakeTimeout is the cause of a context of a handshake that takes longer than HandshakeTimeout.
	errHandshakeTimeout = fmt.Errorf("poller: Server.HandshakeTimeout: %w", context.DeadlineExceeded)
	// plainRequest answers a client that speaks HTTP without TLS, in the words of net/http.
	plainRequest = []byte("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
)

// computingPerProcessor is how many handshakes may compute at a time for each processor. With fewer they get less of the processors than the
// programs around them; with many a flood of them gets more than the loops.
const computingPerProcessor = 4

// helloCame reports whether enough of a connection's first bytes are there for crypto/tls to answer them without waiting for more: a whole
// ClientHello, or something that is none. Until then nobody is kept busy with the connection.
func helloCame(b []byte) bool {
	const alert, handshake, messageHeader = 21, 22, 4
	var head [messageHeader]byte
	have := 0 // bytes of the message
	for range maxHelloRecords {
		if len(b) < recordHeader {
			return false
		}
		kind, length := b[0], int(b[3])<<8|int(b[4])
		switch {
		case kind != handshake && kind != alert, length == 0, length > maxRecord:
			return true
		case len(b) < recordHeader+length:
			return false
		case kind == alert:
			return true
		}
		record := b[recordHeader : recordHeader+length]
		if have < messageHeader {
			copy(head[have:], record)
		}
		if have += length; have >= messageHeader {
			whole := messageHeader + (int(head[1])<<16 | int(head[2])<<8 | int(head[3]))
			if have >= whole || whole > maxHello {
				return true
			}
		}
		b = b[recordHeader+length:]
	}
	return true
}

const (
	maxRecord = 16<<10 + 2<<10 // RFC 5246, section 6.2.3; crypto/tls refuses longer ones at once
	maxHello  = 64 << 10       // crypto/tls refuses longer messages
	// No client has a reason for so many, and to look through more with every byte that comes would be work.
	maxHelloRecords = 64
)

// greet waits for a ClientHello.
func (c *conn) greet(data []byte) {
	if c.in = append(c.in, data...); helloCame(c.in) {
		c.shake()
	}
}

// greetingLate ends a connection from which no ClientHello came in time.
func (c *conn) greetingLate() {
	if len(c.in) > 0 {
		c.handshakeFailed(errHandshakeTimeout)
		c.abort()
		return
	}
	c.close()
}

// shake lends the connection for the handshake, which waits for its turn if there are many.
func (c *conn) shake() {
	r := c.loop.run
	t := &tlsLayer{fd: c.sock.FD, in: c.in, local: r.listener.addr, remote: c.sock.RemoteAddr()}
	if t.local.Addr().IsUnspecified() {
		t.local, _ = tcpsock.LocalAddr(c.sock.FD)
	}
	t.conn = tls.Server(t, r.cfg.tls)
	x := &exchange{run: r, loop: c.loop, conn: c, fd: c.sock.FD, peer: c.describe(), tls: t, secure: true, shakes: true, state: lent}
	x.writer.x = x
	t.shake = x
	c.lent = int32(handshakeBytes + cap(c.in))
	c.in, c.tls, c.lease = nil, t, x
	c.pass(shaking)
	r.handshakes.submit(x)
}

// shake makes the handshake and gives the connection back. On a worker.
func (x *exchange) shake() {
	if !x.live() {
		return
	}
	ctx, cancel := context.WithCancelCause(x.run.ctx)
	x.mu.Lock()
	x.cancel = cancel
	cause := x.cause
	x.mu.Unlock()
	if cause != nil {
		cancel(cause) // which came meanwhile
	}
	err := x.handshake(ctx)
	var plain tls.RecordHeaderError
	switch {
	case err == nil:
		x.giveBack(outcome{kind: established})
		return
	case errors.As(err, &plain) && isHTTP(plain.RecordHeader):
		_ = x.send(plainRequest)
	}
	x.giveBack(outcome{kind: failedHandshake, what: err})
}

// handshake computes while it has one of the run's tokens, which it leaves to others while it waits for the client, and while functions of
// the configuration run that may wait too.
func (x *exchange) handshake(ctx context.Context) error {
	x.startComputing()
	defer x.stopComputing()
	x.tls.user = handshakeUser
	err := x.tls.conn.HandshakeContext(ctx)
	x.tls.user, x.tls.shake, x.tls.more = nobody, nil, true
	return err
}

// startComputing waits for a token, in a handshake.
func (x *exchange) startComputing() {
	if x.shakes {
		x.run.computing <- struct{}{}
	}
}

// stopComputing gives it back.
func (x *exchange) stopComputing() {
	if x.shakes {
		<-x.run.computing
	}
}

// isHTTP reports whether a client's first bytes are those of a request.
func isHTTP(head [recordHeader]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET", "TRACE", "CONNE":
		return true
	}
	return false
}

// established begins with HTTP on a connection that has made its handshake, in which part of the first request can have come.
func (c *conn) established() {
	c.loop.counts.shook.Add(1)
	c.become(serving)
	if c.isH2() {
		c.turnToH2(nil)
		return
	}
	c.loop.out = c.loop.out[:0]
	c.proceed(c.tls.open(nil, nil), fresh)
}

// endHandshake ends the time of a handshake that has taken too long.
func (c *conn) endHandshake() {
	x := c.lease
	if _, ok := x.revoke(errHandshakeTimeout); ok {
		c.endLease(x)
		c.handshakeFailed(errHandshakeTimeout)
		c.abort()
	}
}

func (c *conn) handshakeFailed(err error) {
	c.loop.counts.shookNot.Add(1)
	c.loop.log.Debug("TLS handshake failed", "conn", c.id, "remote", c.describe().Remote, "error", err)
}
