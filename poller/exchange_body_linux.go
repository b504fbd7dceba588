//go:build linux

package poller

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rstserver/httpcodec"
)

// body is the content of a request as Handler reads it: straight from the socket, at the handler's pace. What the handler
// does not read stays in the kernel's buffer, and the client waits. Its methods may be called from any goroutine.
type body struct {
	x    *exchange
	rest atomic.Int64 // bytes to come as far as known, or restUnknown or restLost; stored under mu, not before a wait is over

	mu      sync.Mutex // guards what follows; held by a Read that waits
	decoder httpcodec.BodyDecoder
	input   []byte // received behind the head, and not consumed
	sized   int64  // bytes to come of content with a length; restUnknown if it has none
	expect  bool   // the client waits for 100 (Continue)
	closed  bool
	given   bool          // back to the loop, or about to be
	held    int32         // bytes that were charged for buf, or for input, since the exchange began
	trailer *http.Header  // of the request, filled in at the end
	buf     *[]byte       // from pieces; input may be in it
	err     error         // what Read returns from here on
	spare   time.Duration // that the client may still be waited for, in all; see patience
}

// Values of body.rest that are no number of bytes.
const (
	restUnknown = -1 // chunked
	restLost    = -2 // it may come or not, or its end cannot be found
)

// pieces holds the buffers that chunked content is read through, and answers that are copied from a reader.
var pieces = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// maxSkip bounds how much of a request's content, as far as its length is known, is read and thrown away, when the handler
// has not read it, to keep the connection for the next request. net/http has the same bound. See also maxDiscard.
const maxSkip = 256 << 10

// init prepares for the content of the request head, of which input has come. It is lent if it is in a buffer of the loop's. A refusal is that
// of a content that is known to be too long.
func (b *body) init(x *exchange, head *httpcodec.Request, input []byte, lent bool) error {
	b.x, b.input, b.sized, b.spare = x, input, restUnknown, x.run.cfg.rateGrace
	if lent && len(input) > 0 {
		b.buf = pieces.Get().(*[]byte)
		if len(*b.buf) < len(input) {
			*b.buf = make([]byte, len(input))
		}
		b.input = (*b.buf)[:copy(*b.buf, input)]
	}
	if !head.Chunked {
		b.sized = max(head.ContentLength, 0)
	}
	b.expect = head.ExpectContinue && len(input) == 0
	if err := b.decoder.Reset(head, x.run.cfg.maxBodyBytes); err != nil {
		return err
	}
	b.noteRest()
	return nil
}

// Read implements io.Reader. After the last byte it returns io.EOF, and trailers are in the request's Trailer by then. Where the
// request is at fault the server answers, if it still can.
func (b *body) Read(p []byte) (int, error) {
	n, err, refusal := b.read(p)
	if refusal != nil {
		b.x.refuse(refusal)
	}
	return n, err
}

func (b *body) read(p []byte) (n int, err, refusal error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose, nil
	case b.err != nil:
		return 0, b.err, nil
	case len(p) == 0:
		return 0, nil, nil
	}
	defer b.noteRest()
	for n == 0 && err == nil {
		if n, err = b.decode(p); err == nil && n == 0 {
			n, err = b.receive(p)
		}
	}
	if err != nil {
		b.err, refusal = b.explain(err)
	}
	return n, b.err, refusal
}

// decode moves content from input to p. It returns io.EOF at the end of the content.
func (b *body) decode(p []byte) (int, error) {
	for !b.decoder.Done() {
		if len(b.input) == 0 {
			return 0, nil
		}
		// No more content can be in so many bytes than there is room for in p.
		data, n, err := b.decoder.Next(b.input[:min(len(b.input), len(p))])
		b.input = b.input[n:]
		if err != nil {
			return 0, err
		}
		if len(data) > 0 {
			if b.sized > 0 {
				b.sized -= int64(len(data))
			}
			return copy(p, data), nil
		}
	}
	b.takeTrailers()
	return 0, io.EOF
}

// receive reads from the socket: content with a length straight into p, chunks into input.
func (b *body) receive(p []byte) (int, error) {
	if b.expect && b.x.sendContinue() {
		b.expect = false
		b.noteRest()
	}
	if b.sized > 0 {
		// Not a byte of the next request.
		n, err := b.receiveInTime(p[:min(int64(len(p)), b.sized)])
		if err != nil {
			return 0, err
		}
		b.expect = false // a client may also send without having been asked
		b.sized -= int64(n)
		_, _, err = b.decoder.Next(p[:n])
		return n, err
	}
	if b.buf == nil {
		b.buf = pieces.Get().(*[]byte)
		b.held = int32(len(*b.buf))
		b.x.hold(b.held)
	}
	n, err := b.receiveInTime(*b.buf)
	b.expect = b.expect && n == 0
	b.input = (*b.buf)[:n]
	return 0, err
}

// receiveInTime is receive of the exchange for a client that keeps to BodyTimeout and MinBodyRate.
func (b *body) receiveInTime(p []byte) (int, error) {
	cfg := &b.x.run.cfg
	if cfg.minBodyRate == 0 {
		return b.x.receiveWithin(cfg.bodyTimeout, p)
	}
	timeout := b.spare
	switch {
	case timeout <= 0:
		timeout = -1 // for what has come
	case cfg.bodyTimeout > 0:
		timeout = min(timeout, cfg.bodyTimeout)
	}
	began := time.Now()
	n, err := b.x.receiveWithin(timeout, p)
	b.spare += worth(int64(n), cfg.minBodyRate) - time.Since(began)
	return n, err
}

// explain turns a failure into what the handler sees, and into what the client is to be answered, if anything.
func (b *body) explain(err error) (seen, refusal error) {
	var malformed *httpcodec.Error
	switch {
	case err == io.EOF && !b.decoder.Done():
		// The client has half-closed in the middle of it, and may still read an answer.
		return io.ErrUnexpectedEOF, nil
	case err == errStalled:
		return err, errRequestTimeout
	case errors.Is(err, httpcodec.ErrBodyTooLarge):
		return &http.MaxBytesError{Limit: b.x.run.cfg.maxBodyBytes}, err
	case errors.As(err, &malformed):
		return err, err
	}
	return err, nil
}

func (b *body) takeTrailers() {
	for _, f := range b.decoder.Trailers() {
		if *b.trailer == nil {
			*b.trailer = make(http.Header)
		}
		b.trailer.Add(string(f.Name), string(f.Value))
	}
}

// Close implements io.Closer: reads fail from here on, those that wait too.
func (b *body) Close() error {
	b.x.stopReading()
	b.shut()
	return nil
}

// settled ends reading, and reports whether there was nothing left to read, not even of a request behind this one.
func (b *body) settled() bool {
	if b.rest.Load() != 0 {
		return false
	}
	b.shut()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.given = true
	b.x.readBuffered(&b.input)
	return len(b.input) == 0
}

// endsBehind reports whether the client has ended its side behind the content. With TLS that takes reading on; if it is another request
// that comes, that is kept.
func (b *body) endsBehind() bool {
	if b.rest.Load() != 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.given || len(b.input) > 0 {
		return false
	}
	return b.x.readBehind(&b.input)
}

// nothingBehind reports whether no request has been read behind this one, whose content is complete.
func (b *body) nothingBehind() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.input) == 0
}

// shut keeps every later Read from the content. After stopReading it does not have to wait for the client.
func (b *body) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.buf != nil {
		b.input = bytes.Clone(b.input)
		pieces.Put(b.buf)
		b.buf = nil
	}
	b.x.hold(-b.held)
	b.held = 0
}

func (b *body) noteRest() {
	switch {
	case b.err != nil && b.err != io.EOF, b.expect:
		b.rest.Store(restLost)
	case b.decoder.Done():
		if b.rest.Swap(0) != 0 {
			b.x.awaitFIN()
		}
	default:
		b.rest.Store(b.sized)
	}
}

// skipPatience is how long a handler that has returned waits for chunks that it has not read. A client that waits for its answer
// first is told that it is the last.
const skipPatience = 200 * time.Millisecond

// skippable reports whether the connection can be used again although the rest of the content has not been read: there is
// none, or it is known to come, and not to be too long. Of content in chunks that is known when it has come: it may take until
// patience for that.
func (b *body) skippable(patience time.Duration) bool {
	rest := b.rest.Load()
	if rest == restUnknown {
		return b.comes(patience)
	}
	return rest != restLost && rest <= maxSkip
}

// comes reports whether chunks come to their end in time, and are well-formed. It takes nothing away from whoever reads them.
func (b *body) comes(patience time.Duration) bool {
	if !b.mu.TryLock() {
		return false // somebody waits for more
	}
	defer b.mu.Unlock()
	decoder, ahead, until := b.decoder, b.input, time.Now().Add(patience)
	for {
		for len(ahead) > 0 && !decoder.Done() {
			_, n, err := decoder.Next(ahead)
			if err != nil {
				return false
			}
			ahead = ahead[n:]
		}
		had := len(b.input)
		if decoder.Done() || had > maxSkip {
			return decoder.Done()
		}
		b.input = slices.Grow(b.input, contentBuffer)
		b.x.hold(int32(cap(b.input)) - b.held)
		b.held = int32(cap(b.input))
		n, err := b.x.receiveWithin(time.Until(until), b.input[had:cap(b.input)])
		if err != nil {
			return false
		}
		b.input = b.input[:had+n]
		ahead = b.input[had:]
	}
}
