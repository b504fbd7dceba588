//go:build linux

package poller

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
	"rstserver/linger"
)

// tlsLayer is TLS between the descriptor of a connection and HTTP. It is also the net.Conn below its tls.Conn, to which it gives
// what the loop has read, or what it reads itself, without ever waiting; and whose records it keeps until the kernel takes them.
// Only in a handshake it waits, as an exchange does.
//
// It belongs to whoever has the connection: the loop; an exchange, which holds its mu for every call but a handshake; or, in the
// end, the handler that has hijacked it. The methods may be called for nil: then there is no TLS. Those that are exported are for
// crypto/tls.
type tlsLayer struct {
	conn   *tls.Conn
	fd     int
	user   layerUser
	record recordCut
	one    [1]byte
	more   bool    // conn may hold something that has been read
	in     []byte  // that the loop has read, and conn has not taken
	out    *[]byte // records that the kernel has not taken, from records; nil: it has them all
	err    error   // what conn.Read has returned, and errNoData is not

	shake *exchange                   // during the handshake
	taken atomic.Pointer[linger.Conn] // set by a hijack
	// within is what writes have from then on, for HTTP/2; nil for a user's own.
	within *byteTimeout
	// ends is called before it is closed, for HTTP/2; nil for a user's own.
	ends func()

	local, remote netip.AddrPort
	negotiated    uint16               // the version, once somebody has asked
	state         *tls.ConnectionState // once somebody has asked
}

// layerUser says for whom conn reads and writes.
type layerUser uint8

const (
	nobody      layerUser = iota // who was given conn, by ConnContext or GetCertificate, and uses it although it is not theirs
	loopUser                     // reads what is in the layer
	handlerUser                  // reads what there is
	handshakeUser
)

const (
	// sealed is how much is encrypted at a time, before the kernel is asked whether it takes it.
	sealed = 64 << 10
	// maxUnsentRecords bounds what the client can have the layer say by itself, as in answer to KeyUpdate, without taking it.
	maxUnsentRecords = sealed + 16<<10
)

// records holds buffers for what is encrypted.
var records = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// noData is what Read returns when there is nothing at present, which crypto/tls takes for an error that passes.
type noData struct{}

func (noData) Error() string   { return "poller: there is nothing to read at present" }
func (noData) Timeout() bool   { return false }
func (noData) Temporary() bool { return true }

var errNoData net.Error = noData{}

// errCutOff is a FIN without close_notify before it: somebody else may have sent it (RFC 8446, section 6.1).
var errCutOff = &cutOff{}

type cutOff struct{}

func (*cutOff) Error() string {
	return "poller: the client's side of the connection ended without a TLS close_notify"
}
func (*cutOff) Unwrap() error { return io.ErrUnexpectedEOF }

// open appends to dst what is in data, and in what was read before, up to the end or a record that has not come whole. t.err is
// why there will be no more.
func (t *tlsLayer) open(dst, data []byte) []byte {
	if t == nil {
		return append(dst, data...)
	}
	if len(data) == 0 && !t.more {
		return dst
	}
	t.user, t.in, t.more = loopUser, data, true
	for t.err == nil && t.more {
		room := dst[len(dst):cap(dst)]
		if len(room) == 0 {
			room = t.one[:] // no memory for what is mostly nothing
		}
		n, err := t.conn.Read(room)
		dst = append(dst, room[:n]...)
		// Of a record that is whole, and not the last, conn has read no more than that.
		t.more = err == nil && (n == len(room) || len(t.in) > 0 || t.record.inside())
		if err != errNoData {
			t.err = err
		}
	}
	t.user, t.in = nobody, nil
	return dst
}

// read reads for a handler. It returns unix.EAGAIN where there is nothing.
func (t *tlsLayer) read(p []byte) (n int, err error) {
	if t.err != nil {
		return 0, t.err
	}
	t.user = handlerUser
	n, err = t.conn.Read(p)
	t.user = nobody
	t.more = n == len(p)
	if err == errNoData {
		err = unix.EAGAIN
	} else {
		t.err = err
	}
	// What crypto/tls has to say to what it has read.
	if e := t.flush(); e != nil && (e != unix.EAGAIN || len(*t.out) > maxUnsentRecords) {
		t.err = os.NewSyscallError("write", e)
		return 0, t.err
	}
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// write encrypts b piece by piece, for as long as the kernel takes the pieces. n bytes of it are encrypted, and are not to be
// written again. After unix.EAGAIN the kernel has not taken all of that; further calls go on, with n = 0 as long as this lasts.
func (t *tlsLayer) write(b []byte) (n int, err error) {
	for {
		if err := t.flush(); err != nil {
			return n, err
		}
		if n == len(b) {
			return n, nil
		}
		m := min(len(b)-n, sealed)
		t.user = loopUser
		_, err := t.conn.Write(b[n : n+m])
		t.user = nobody
		if err != nil {
			return n, err
		}
		n += m
	}
}

// gather returns bufs as one piece, as far as that is worth a copy: each piece is a record, or several of full size.
func gather(bufs [][]byte) []byte {
	if len(bufs) == 0 {
		return nil
	}
	if len(bufs) == 1 {
		return bufs[0]
	}
	const fullRecord = 16 << 10 // RFC 8446, section 5.1
	if n := len(bufs[0]) / fullRecord * fullRecord; n > 0 {
		return bufs[0][:n]
	}
	piece := make([]byte, 0, fullRecord)
	for _, b := range bufs {
		piece = append(piece, b[:min(len(b), fullRecord-len(piece))]...)
	}
	return piece
}

// flush gives the kernel what is encrypted. It returns unix.EAGAIN if that was not all.
func (t *tlsLayer) flush() error {
	if !t.blocked() {
		return nil
	}
	b := *t.out
	for len(b) > 0 {
		n, err := tcpsock.Send(t.fd, b)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			*t.out = (*t.out)[:copy(*t.out, b)]
			return err
		default:
			return err
		}
	}
	if cap(*t.out) <= keepCapacity {
		*t.out = (*t.out)[:0]
		records.Put(t.out)
	}
	t.out = nil
	return nil
}

// blocked reports whether there is something that the kernel has not taken.
func (t *tlsLayer) blocked() bool { return t != nil && t.out != nil }

// ended reports whether the client's side of the connection has ended, with close_notify or with an error.
func (t *tlsLayer) ended() bool { return t != nil && t.err != nil }

// saidGoodbye reports whether it has ended with close_notify, behind which FIN is about to come.
func (t *tlsLayer) saidGoodbye() bool { return t != nil && t.err == io.EOF }

// cut reports whether part of a record has come.
func (t *tlsLayer) cut() bool { return t != nil && t.record.inside() }

// closeNotify says that nothing more will come (RFC 8446, section 6.1). What flush returns reports whether the kernel has taken that.
func (t *tlsLayer) closeNotify() error {
	if t == nil {
		return nil
	}
	t.user = loopUser
	_ = t.conn.CloseWrite() // which fails before the end of a handshake, and says what nobody reads after another alert
	t.user = nobody
	return t.flush()
}

// version is that of TLS, 0 without, and before the handshake is over. For whoever has the connection.
func (t *tlsLayer) version() uint16 {
	if t == nil || t.user == handshakeUser || t.shake != nil {
		return 0
	}
	if t.negotiated == 0 {
		t.negotiated = t.conn.ConnectionState().Version
	}
	return t.negotiated
}

// connectionState is what a handler learns. It is nil without TLS. For whoever has the connection.
func (t *tlsLayer) connectionState() *tls.ConnectionState {
	if t == nil {
		return nil
	}
	if t.state == nil {
		state := t.conn.ConnectionState()
		t.state = &state
	}
	return t.state
}

// Read implements net.Conn.
func (t *tlsLayer) Read(p []byte) (n int, err error) {
	if c := t.taken.Load(); c != nil {
		return c.Read(p)
	}
	// Crypto/tls keeps the memory of the most that it has been given at a time: that is to be a record.
	p = p[:min(len(p), t.record.due())]
	switch {
	case t.user == nobody:
		return 0, errOwned
	case len(t.in) > 0:
		n = copy(p, t.in)
		t.in = t.in[n:]
	case t.user == loopUser:
		return 0, errNoData
	case t.user == handshakeUser:
		n, err = t.shake.receiveWithin(0, p)
	default:
		n, err = readDescriptor(t.fd, p)
	}
	switch {
	case err == io.EOF:
		err = errCutOff // or crypto/tls takes it for a clean end between two records
	case err == unix.EAGAIN:
		err = errNoData
	}
	t.record.pass(p[:n])
	return n, err
}

// Write implements net.Conn. For the stack that it needs see byteTimeout.
func (t *tlsLayer) Write(p []byte) (int, error) {
	c := t.taken.Load()
	if c == nil {
		return t.keep(p)
	}
	if err := t.beginTaken(c); err != nil {
		return 0, err
	}
	n, err := c.Write(p)
	if err != nil {
		return t.within.goOn(c, p, n, err)
	}
	return n, nil
}

// beginTaken is what precedes a write to a connection that was taken over.
func (t *tlsLayer) beginTaken(c *linger.Conn) error {
	if before := t.out; before != nil { // an answer to KeyUpdate, from before
		t.out = nil
		if _, err := t.Write(*before); err != nil {
			return err
		}
	}
	return t.within.begin(c)
}

// keep takes records that the loop, or an exchange, is to send.
func (t *tlsLayer) keep(p []byte) (int, error) {
	switch t.user {
	case nobody:
		return 0, errOwned
	case handshakeUser:
		if err := t.shake.send(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if t.out == nil {
		t.out = records.Get().(*[]byte)
	}
	*t.out = append(*t.out, p...)
	return len(p), nil
}

// Close implements net.Conn. Only who has hijacked the connection can close it. Crypto/tls calls it beside everything else when the
// context of a handshake ends, of which the loop knows.
func (t *tlsLayer) Close() error {
	c := t.taken.Load()
	if c == nil {
		return errOwned
	}
	if t.ends != nil {
		t.awaitFIN(c)
		t.ends()
	}
	return c.Close()
}

// awaitFIN waits for the FIN of a client that has sent close_notify, with which net/http closes a connection of HTTP/2: to close it before would
// have TIME_WAIT be ours. net/http's one goroutine that serves the connection calls it.
func (t *tlsLayer) awaitFIN(c *linger.Conn) {
	if c.SetReadDeadline(time.Now()) != nil { // what has not come is not waited for
		return
	}
	if _, err := t.conn.Read(t.one[:]); err != io.EOF {
		return
	}
	if c.SetReadDeadline(time.Now().Add(h2Farewell)) == nil {
		_, _ = io.CopyN(io.Discard, c, maxDiscard)
	}
}

func (t *tlsLayer) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(t.local) }
func (t *tlsLayer) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(t.remote) }

// The deadlines are those of the hijacked connection. Before that crypto/tls sets some for its alerts, which do not wait.

func (t *tlsLayer) SetDeadline(at time.Time) error {
	if c := t.taken.Load(); c != nil {
		return c.SetDeadline(at)
	}
	return nil
}

func (t *tlsLayer) SetReadDeadline(at time.Time) error {
	if c := t.taken.Load(); c != nil {
		return c.SetReadDeadline(at)
	}
	return nil
}

func (t *tlsLayer) SetWriteDeadline(at time.Time) error {
	if c := t.taken.Load(); c != nil {
		return c.SetWriteDeadline(at)
	}
	return nil
}

// recordCut knows whether what has passed ends with a whole record (RFC 8446, section 5.1).
type recordCut struct {
	left   uint16 // bytes of the record that have not come
	length uint16
	have   uint8 // bytes of its header that have come; 0: between two records

	longest uint16 // length of those that have begun
}

const recordHeader = 5 // bytes: type, version, length

func (r *recordCut) pass(b []byte) {
	for len(b) > 0 {
		if r.have < recordHeader {
			r.length = r.length<<8 | uint16(b[0])
			r.have++
			b = b[1:]
			if r.left = r.length; r.have == recordHeader {
				r.longest = max(r.longest, r.length)
			}
		} else {
			n := min(len(b), int(r.left))
			r.left -= uint16(n)
			b = b[n:]
		}
		if r.have == recordHeader && r.left == 0 {
			*r = recordCut{longest: r.longest}
		}
	}
}

func (r *recordCut) inside() bool { return r.have > 0 }

// due is how much is to come of the header, or behind it of the record.
func (r *recordCut) due() int {
	if r.have < recordHeader {
		return int(recordHeader - r.have)
	}
	return int(r.left)
}
