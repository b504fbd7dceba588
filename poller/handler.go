package poller

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"rstserver/httpcodec"
)

// LoopHandler answers requests on the event loop that owns the connection. It must not block: all connections of the loop
// wait for it. A panic costs its own connection only, which is aborted, and is logged. It must not call runtime.Goexit, as
// FailNow of package testing does: that would end the loop.
type LoopHandler interface {
	// ServeLoop fills in the answer to r. Neither w nor r, nor any slice that they hold, may be used after it has returned.
	ServeLoop(w *Responder, r *Request)
}

// LoopHandlerFunc makes a function a [LoopHandler].
type LoopHandlerFunc func(w *Responder, r *Request)

// ServeLoop calls f.
func (f LoopHandlerFunc) ServeLoop(w *Responder, r *Request) { f(w, r) }

// Request is a request whose content is complete. It is valid until the handler returns, for the goroutine that ServeLoop is called on.
type Request struct {
	httpcodec.Request
	Body     []byte            // the decoded content
	Trailers []httpcodec.Field // of a chunked request

	conn   *conn         // nil with HTTP/2
	stream *http.Request // nil without
}

// ErrOutputTooLarge is returned by [Responder.Write] when the content would exceed Server.MaxOutputBytes.
var ErrOutputTooLarge = errors.New("poller: content exceeds MaxOutputBytes; use SetContent for content of that size")

// Responder takes the answer to one request; it is sent when the handler has returned. Without any call the answer is 200
// without content. The status line, Date, Content-Length and Connection are written by the server; Content-Length and
// Transfer-Encoding are refused (500 is sent then, and the reason logged). An answer to HEAD has the head that GET would
// get, and its content is not sent. Only the
// goroutine that ServeLoop is called on may use it, and that of the Request.
type Responder struct {
	response httpcodec.Response
	content  []byte    // kept over requests
	source   io.Reader // content in place of the above, of response.ContentLength bytes
	max      int
	conn     *conn     // nil with HTTP/2
	stream   *h2Writer // nil without
	upgrade  *upgrade  // has the connection behind the head that is the answer; nil: nobody has
}

func (w *Responder) reset(max int) {
	w.response = httpcodec.Response{Status: 200, Fields: w.response.Fields[:0]}
	w.content = w.content[:0]
	w.source, w.upgrade = nil, nil
	w.max = max
}

// SetStatus sets the status code, 200 to 599.
func (w *Responder) SetStatus(code int) { w.response.Status = code }

// SetContentType sets the Content-Type field, in place of one that was added.
func (w *Responder) SetContentType(t string) {
	w.response.Fields = slices.DeleteFunc(w.response.Fields, isField("Content-Type"))
	w.response.ContentType = t
}

// AddField adds a field line. "Connection: close" closes the connection after this answer.
func (w *Responder) AddField(name, value string) {
	w.response.Fields = append(w.response.Fields, httpcodec.HeaderField{Name: name, Value: value})
}

// HasField reports whether a field line of that name, in whatever case, has been added.
func (w *Responder) HasField(name string) bool {
	return slices.ContainsFunc(w.response.Fields, isField(name))
}

func isField(name string) func(httpcodec.HeaderField) bool {
	return func(f httpcodec.HeaderField) bool { return strings.EqualFold(f.Name, name) }
}

// Write appends p to the content. It fails with [ErrOutputTooLarge], and then takes nothing.
func (w *Responder) Write(p []byte) (int, error) {
	if len(p) > w.max-len(w.content) {
		return 0, ErrOutputTooLarge
	}
	w.content = append(w.content, p...)
	return len(p), nil
}

// WriteString is Write for a string, and fails as that does.
func (w *Responder) WriteString(s string) (int, error) {
	if len(s) > w.max-len(w.content) {
		return 0, ErrOutputTooLarge
	}
	w.content = append(w.content, s...)
	return len(s), nil
}

// SetContent makes the content the first length bytes of r, in place of all that was written. They are read on the loop,
// after the handler has returned, as the client takes them: at most 64 KiB are held at a time, so length has no bound. Read
// must not block, and must return a byte or an error. An error or an end before length bytes aborts the connection, since
// the head has gone out by then. The server closes r, when it is an io.Closer, as soon as it is not needed any more.
func (w *Responder) SetContent(r io.Reader, length int64) {
	if w.source != r {
		w.dropSource()
	}
	w.source, w.response.ContentLength = r, length
}

// Error makes the answer a plain text of the status and a line that says what is wrong.
func (w *Responder) Error(code int, text string) {
	w.response.Status = code
	w.response.ContentType = "text/plain; charset=utf-8"
	w.content = fmt.Appendf(w.content[:0], "%d %s\n", code, text)
	w.dropSource()
}

// dropSource closes the source that is not needed any more.
func (w *Responder) dropSource() {
	source := w.source
	w.source = nil
	closeSource(source)
}

func closeSource(r io.Reader) {
	if closer, ok := r.(io.Closer); ok {
		_ = closer.Close()
	}
}
