//go:build linux

package poller

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
	"unsafe"

	"rstserver/httpcodec"
)

// responseWriter is the http.ResponseWriter of an exchange. Beside that it is an http.Flusher, an http.Hijacker, an
// io.ReaderFrom and an io.StringWriter, and has what http.ResponseController asks for. What is written goes out when
// contentBuffer bytes have come together, at Flush, and when the handler has returned; Write waits while the client does not
// take it. Unlike with net/http its methods may be called from several goroutines, in the time of the handler.
type responseWriter struct {
	x *exchange

	mu     sync.Mutex // guards what follows; held by a Write that waits
	w      *worker    // lends its buffers; nil when the time is over
	header http.Header
	head   answerHead
	method string
	target string
	// status is 0 until WriteHeader.
	status      int
	framing     httpcodec.Framing
	spare       time.Duration // that the client may still be waited for to take the answer, in all; see patience
	written     int64         // bytes of content that the handler has written
	sent        int64         // bytes of content that have been sent
	broken      error         // the answer cannot be completed any more
	unencodable bool          // that is because its head cannot be encoded
	encoded     bool          // the head has been encoded
	isStream    bool          // of events, which can be slow
	tooLong     bool          // a Write was refused as it went beyond Content-Length; what follows it would leave a hole
	fullDuplex  bool          // the handler goes on to read when it has begun to answer
	last        bool          // whatever else is said, the connection ends after this answer
	reported    bool          // to Server.Answered
	answer      *Answer       // what is known of it; nil without that hook
	gone        chan bool     // see CloseNotify
	notes       []func()      // of what is to be logged, once mu is free
}

// sniffed is how much of the content http.DetectContentType looks at.
const sniffed = 512

// contentBuffer is how much content is held back in the hope that the handler returns, and so tells its length.
const contentBuffer = 4 << 10

func (w *responseWriter) init(worker *worker, req *http.Request) {
	x := w.x
	w.w, w.spare = worker, x.run.cfg.rateGrace
	w.method, w.target = req.Method, req.RequestURI
	w.head.minorVersion, w.head.keepAlive = req.ProtoMinor, !req.Close
	worker.content = worker.content[:0]
	if a := w.answer; a != nil {
		a.Conn, a.RequestLine, a.Referer, a.UserAgent = x.peer, requestLine(x.head), req.Referer(), req.UserAgent()
		a.Began, a.Traceparent = epoch.Add(x.began), req.Header.Get("Traceparent")
		if req.TLS != nil {
			a.TLS = req.TLS.Version
		}
	}
}

// detach ends the time in which the worker's buffers may be used, whatever goroutine still holds the writer.
func (w *responseWriter) detach() {
	w.mu.Lock()
	defer w.unlock()
	w.closeBuffers()
}

// unlock releases mu, and then logs what there is to log: no code of a user's runs with a lock held.
func (w *responseWriter) unlock() {
	notes := w.notes
	w.notes = nil
	w.mu.Unlock()
	for _, note := range notes {
		note()
	}
}

// warn logs that the handler does something wrong.
func (w *responseWriter) warn(message string, args ...any) {
	args = append([]any{"conn", w.x.peer.ID, "target", w.target}, args...)
	w.notes = append(w.notes, func() { w.x.run.cfg.log.Warn(message, args...) })
}

func (w *responseWriter) closeBuffers() {
	if w.w == nil {
		return
	}
	if cap(w.w.content) > keepCapacity {
		w.w.content = nil
	}
	if cap(w.w.out) > keepCapacity {
		w.w.out = nil
	}
	w.w = nil
}

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header {
	w.mu.Lock()
	defer w.unlock()
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter. Informational codes other than 101 are sent at once.
func (w *responseWriter) WriteHeader(code int) {
	w.mu.Lock()
	defer w.unlock()
	w.writeHeader(code)
}

func (w *responseWriter) writeHeader(code int) {
	switch {
	case code < 100 || code > 999:
		panic(fmt.Sprintf("poller: invalid WriteHeader code %d", code))
	case w.w == nil:
	case w.status != 0:
		w.warn("the handler calls WriteHeader although the head of its answer is written", "status", w.status, "ignored", code)
	case code < 200 && code != http.StatusSwitchingProtocols:
		w.sendInterim(code)
	default:
		w.status = code
		w.w.fields = w.head.take(w.header, w.w.fields[:0])
		w.isStream = w.head.isStream
		if w.head.badLength != "" {
			w.warn("the handler's Content-Length is no length and is left out", "value", w.head.badLength)
		}
	}
}

// sendInterim sends an interim answer with the header as it is now (RFC 9110, section 15.2).
func (w *responseWriter) sendInterim(code int) {
	var h answerHead
	h.minorVersion = w.head.minorVersion
	res := httpcodec.Response{Status: code, MinorVersion: h.minorVersion, Fields: h.take(w.header, nil)}
	// HTTP/1.0 knows no interim answers, and encoding one fails.
	if err := checkHead(res.Fields); err != nil {
		w.warn("the handler's interim answer is left out", "status", code, "error", err)
		return
	}
	if out, _, err := res.AppendHead(nil); err == nil && code != http.StatusContinue {
		w.x.sendInterim(out)
	} else if err == nil {
		w.x.sendContinue()
	}
}

// Write implements http.ResponseWriter. Beside the errors of net/http it returns those of the connection, and
// os.ErrDeadlineExceeded after a write deadline; the answer is then cut off, and the connection will be aborted.
func (w *responseWriter) Write(p []byte) (int, error) { return writeTo(w, p) }

// WriteString implements io.StringWriter.
func (w *responseWriter) WriteString(s string) (int, error) { return writeTo(w, s) }

func writeTo[T string | []byte](w *responseWriter, p T) (int, error) {
	w.mu.Lock()
	defer w.unlock()
	if err := w.accept(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	w.written += int64(len(p))
	if len(w.w.content)+len(p) <= contentBuffer {
		w.w.content = append(w.w.content, p...)
		return len(p), nil
	}
	if err := w.emit(view(p), false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// view is p as bytes that share its memory, and must not be changed.
func view[T string | []byte](p T) []byte {
	switch p := any(p).(type) {
	case string:
		return unsafe.Slice(unsafe.StringData(p), len(p))
	case []byte:
		return p
	}
	return nil
}

// whyNot is why the handler can answer no more; nil if it can.
func (w *responseWriter) whyNot() error {
	if why := w.x.whyNot(); why != nil || w.w != nil {
		return why
	}
	return errNotLent
}

// accept reports whether n bytes of content may be written.
func (w *responseWriter) accept(n int) error {
	if why := w.whyNot(); why != nil {
		return why
	}
	if w.broken != nil {
		return w.broken
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	switch {
	case n == 0:
	case w.status == http.StatusSwitchingProtocols || w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return http.ErrBodyNotAllowed
	case w.tooLong, w.head.hasLength && w.written+int64(n) > w.head.length:
		w.tooLong = true
		return http.ErrContentLength
	}
	return nil
}

// emit sends what waits, and p behind it. final says that the handler has returned, so that this is all.
func (w *responseWriter) emit(p []byte, final bool) error {
	out := w.w.out[:0]
	content := w.w.content
	n := len(content) + len(p)
	if !w.encoded {
		if final && !w.head.hasLength && len(w.head.trailers) == 0 && !w.hasPrefixedTrailers() &&
			(w.method != http.MethodHead || n > 0) {
			w.head.hasLength, w.head.length = true, int64(n)
		}
		sample := content
		if len(p) > 0 && !w.head.hasType {
			sample = append(slices.Clip(content), p[:min(len(p), sniffed)]...)
		}
		patience := time.Duration(-1) // the handler may want to read
		if final {
			patience = skipPatience
		}
		var err error
		if out, err = w.appendHead(out, sample, patience); err != nil {
			w.broken, w.unencodable = err, true
			return err
		}
		w.encoded = true
	}
	var end []byte
	switch w.framing.Kind {
	case httpcodec.NoContent:
		content, p = nil, nil
	case httpcodec.Chunked:
		if n > 0 {
			out = httpcodec.AppendChunkSize(out, n)
			end = append(w.w.tail[:0], "\r\n"...)
		}
		if final {
			end = w.appendLastChunk(end)
		}
	}
	// A small answer is one piece for the kernel.
	if small := len(out) + len(content) + len(p) + len(end); small <= 2*contentBuffer {
		out = append(append(append(out, content...), p...), end...)
		w.w.out = out
		content, p, end = nil, nil, nil
	}
	err := w.x.send(out, content, p, end)
	w.w.out, w.w.content = out[:0], w.w.content[:0]
	if err != nil {
		w.broken = err
		return err
	}
	w.sent += int64(n)
	return nil
}

// appendHead encodes the head. sample is the beginning of the content. It may wait so long for the end of the request.
func (w *responseWriter) appendHead(out, sample []byte, patience time.Duration) ([]byte, error) {
	res := httpcodec.Response{
		Status: w.status, MinorVersion: w.head.minorVersion, Head: w.method == http.MethodHead,
		KeepAlive: w.head.keepAlive && !w.last && w.x.run.reuses() && !w.x.leaves.Load() &&
			(w.fullDuplex && w.x.body.rest.Load() == restUnknown || w.x.body.skippable(patience)),
		Fields: w.w.fields, ContentLength: -1,
	}
	if w.head.hasLength {
		res.ContentLength = w.head.length
	}
	if !w.head.hasDate {
		res.Date = w.x.run.date.now()
	}
	if !w.head.hasType && !w.head.encoded && len(sample) > 0 {
		res.ContentType = http.DetectContentType(sample)
	}
	if err := checkHead(res.Fields); err != nil {
		return out, err
	}
	out, framing, err := res.AppendHead(out)
	if err != nil {
		return out, fmt.Errorf("poller: the answer cannot be encoded: %w", err)
	}
	w.framing = framing
	if w.status == http.StatusSwitchingProtocols {
		w.framing.KeepAlive = false // a handler that means it takes the connection over
	}
	return out, nil
}

// appendLastChunk appends the end of a chunked answer, with the trailers that the handler has set.
func (w *responseWriter) appendLastChunk(end []byte) []byte {
	collected := w.head.collectTrailers(w.header)
	if err := checkHead(collected); err != nil {
		w.warn("the trailer section of the handler's answer is left out", "error", err)
		collected = nil
	}
	var trailers []httpcodec.HeaderField
	for _, f := range collected {
		if out, err := httpcodec.AppendLastChunk(nil, []httpcodec.HeaderField{f}); err != nil || len(out) == 0 {
			w.warn("a trailer field of the handler's answer is left out", "name", f.Name, "error", err)
			continue
		}
		trailers = append(trailers, f)
	}
	end, _ = httpcodec.AppendLastChunk(end, trailers)
	return end
}

func (w *responseWriter) hasPrefixedTrailers() bool {
	for name := range w.header {
		if len(name) > len(http.TrailerPrefix) && name[:len(http.TrailerPrefix)] == http.TrailerPrefix {
			return true
		}
	}
	return false
}

// finish completes the answer, when the handler has returned or, with isLast, as it stands, as the connection's last; the handler's
// further writes fail then. ok is false when the connection is not the exchange's any more.
func (w *responseWriter) finish(isLast bool) (o outcome, ok bool) {
	o, ok = w.complete(isLast)
	w.report()
	return o, ok
}

func (w *responseWriter) complete(isLast bool) (o outcome, ok bool) {
	w.mu.Lock()
	defer w.unlock()
	if w.w == nil {
		return outcome{}, false
	}
	defer w.closeBuffers()
	w.last = w.last || isLast
	err := w.sendRest()
	switch {
	case err == nil && w.framing.Kind == httpcodec.UntilClose:
		o.kind = lastToEnd
	case err == nil && (w.last || !w.framing.KeepAlive):
		o.kind = last
	case err == nil:
	case w.unencodable:
		w.notes = append(w.notes, func() {
			w.x.run.cfg.log.Error("the handler's answer cannot be sent, 500 was sent in its place", "conn", w.x.peer.ID,
				"target", w.target, "error", err)
		})
		o = outcome{kind: refused, what: errInternal}
	default:
		o.kind = aborted
	}
	return o, w.x.live()
}

// sendRest sends what is left. An error means that the client must not take the answer for whole.
func (w *responseWriter) sendRest() error {
	if err := w.accept(0); err != nil {
		return err
	}
	if w.head.hasLength && w.written < w.head.length && w.method != http.MethodHead &&
		w.status != http.StatusNotModified && w.status != http.StatusNoContent {
		w.warn("the handler wrote less than its Content-Length, its connection is aborted", "written_bytes", w.written,
			"content_length", w.head.length)
		_ = w.emit(nil, false) // as far as it came
		return io.ErrUnexpectedEOF
	}
	if w.encoded && len(w.w.content) == 0 && w.framing.Kind != httpcodec.Chunked {
		return nil
	}
	return w.emit(nil, true)
}

// errInternal answers a request whose handler gave an answer that HTTP cannot express.
var errInternal = &httpcodec.Error{Status: 500, Reason: "internal server error"}

// report counts the answer, once its bytes are out, and calls the Server's hook.
func (w *responseWriter) report() {
	w.mu.Lock()
	due := !w.reported && w.encoded && w.x.wroteAny()
	w.reported = w.reported || due
	status, sent, contentless := w.status, w.sent, w.framing.Kind == httpcodec.NoContent
	w.unlock()
	if !due {
		return
	}
	took := time.Since(epoch) - w.x.began
	w.x.loop.counts.answered(status, took)
	if w.answer == nil {
		return
	}
	answer := *w.answer
	answer.Status, answer.Bytes, answer.Took = status, sent, took
	if contentless {
		answer.Bytes = 0
	}
	w.x.run.report(answer)
}

// abandon is called in place of finish for an answer that ends with an abort.
func (w *responseWriter) abandon() {
	w.report()
	w.detach()
}

// ReadFrom implements io.ReaderFrom: it copies without an allocation. What is long, and from a file, the kernel sends without its being copied,
// if its length is known from the Content-Length and there is no TLS.
func (w *responseWriter) ReadFrom(r io.Reader) (n int64, err error) {
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	piece := *buf
	from, isFile := w.fileOf(r)
	if isFile {
		piece = piece[:sniffed] // which may say what type the content has
	}
	clear(piece) // of other clients' content: what Read says that it has written, it may not have
	for {
		m, err := r.Read(piece)
		if m < 0 || m > len(piece) {
			return n, invalidRead(m, len(piece))
		}
		if m > 0 {
			written, werr := w.Write(piece[:m])
			n += int64(written)
			if werr != nil {
				return n, werr
			}
		}
		if isFile && err == nil {
			sent, serr := w.sendFile(from)
			n += sent
			if serr != nil {
				return n, serr
			}
			piece, isFile = *buf, false
			clear(piece)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Flush implements http.Flusher.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError sends what has been written. Its errors are those of Write.
func (w *responseWriter) FlushError() error {
	w.mu.Lock()
	defer w.unlock()
	if err := w.accept(0); err != nil {
		return err
	}
	if w.encoded && len(w.w.content) == 0 {
		return nil
	}
	return w.emit(nil, false)
}

var (
	_ http.Flusher    = (*responseWriter)(nil)
	_ io.ReaderFrom   = (*responseWriter)(nil)
	_ io.StringWriter = (*responseWriter)(nil)
)
