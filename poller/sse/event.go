package sse

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"rstserver/poller/internal/onloop"
)

// Event is what is sent. All fields are UTF-8, as all of a stream is.
type Event struct {
	// ID is what a client sends back in Last-Event-ID when it comes again, empty to leave what it has. It is a field value then, so it has no
	// control characters, and neither begins nor ends with a space.
	ID string
	// Event is its type, by which a page listens to it. Empty is "message". It is one line.
	Event string
	// Data is what the page gets. It can have several lines, and their ends, CR, LF or CR LF, arrive as LF. An event without Data
	// and without Event is none for the page, but its ID and Retry count.
	Data string
	// Retry, unless it is zero, is how long the client is to wait, from now on, before it comes again. It is sent in milliseconds.
	Retry time.Duration
}

// check says what is wrong with the event.
func (e *Event) check() error {
	switch {
	case strings.ContainsAny(e.Event, "\r\n"):
		return fmt.Errorf("sse: the type %q of an event has a line end, and a field is one line", e.Event)
	case strings.ContainsFunc(e.ID, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("sse: the ID %q has a control character, and a client could not send it back", e.ID)
	case strings.HasPrefix(e.ID, " ") || strings.HasSuffix(e.ID, " "):
		return fmt.Errorf("sse: the ID %q begins or ends with a space, which it would come back without", e.ID)
	case e.Retry < 0:
		return fmt.Errorf("sse: a Retry of %s is negative", e.Retry)
	case !utf8.ValidString(e.ID) || !utf8.ValidString(e.Event) || !utf8.ValidString(e.Data):
		return errors.New("sse: the event is not UTF-8")
	}
	return nil
}

// AppendText implements encoding.TextAppender: it appends the event as it stands in a stream, for those who send one by other means. An event
// that a stream cannot express is an error that says why, and appends nothing. Any goroutine may call it.
func (e Event) AppendText(b []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return b, err
	}
	return e.append(b), nil
}

// append appends the event, which has been checked, as it stands in a stream.
func (e *Event) append(b []byte) []byte {
	if e.ID != "" {
		b = append(append(append(b, "id: "...), e.ID...), '\n')
	}
	if e.Event != "" {
		b = append(append(append(b, "event: "...), e.Event...), '\n')
	}
	if e.Retry > 0 {
		ms := (e.Retry-1)/time.Millisecond + 1 // none becomes zero, which is at once
		b = append(strconv.AppendInt(append(b, "retry: "...), int64(ms), 10), '\n')
	}
	if e.Data != "" || e.Event != "" {
		b = appendData(b, e.Data)
	}
	return append(b, '\n')
}

// appendData appends a field for each line. The space is there since one is taken away, which could be the line's own.
func appendData(b []byte, data string) []byte {
	for {
		end := strings.IndexAny(data, "\r\n")
		if end < 0 {
			return append(append(append(b, "data: "...), data...), '\n')
		}
		b = append(append(append(b, "data: "...), data[:end]...), '\n')
		if strings.HasPrefix(data[end:], "\r\n") {
			end++
		}
		data = data[end+1:]
	}
}

// frame is something that is sent, as a chunk (RFC 9112, section 7.1), within which it stands as it is.
type frame struct {
	chunk  []byte
	from   int            // where it begins
	shared *onloop.Shared // nil: whoever sends it has it alone
}

// chunkRoom is for the size of a chunk.
const chunkRoom = len("ffffffff\r\n")

// encode makes a frame in the memory of b.
func encode(b []byte, e *Event) frame {
	b = e.append(append(b[:0], "00000000\r\n"...))
	size := strconv.FormatInt(int64(len(b)-chunkRoom), 16)
	start := chunkRoom - len("\r\n") - len(size)
	copy(b[start:], size)
	b = append(b, "\r\n"...)
	return frame{chunk: b[start:], from: chunkRoom - start}
}

// as is the frame for a stream in chunks, or one that is not.
func (f frame) as(chunked bool) []byte {
	if chunked {
		return f.chunk
	}
	return f.chunk[f.from : len(f.chunk)-len("\r\n")]
}

// heartbeat is a comment.
var heartbeat = frame{chunk: []byte("3\r\n:\n\n\r\n"), from: len("3\r\n")}

// lastChunk is the end of a stream in chunks.
var lastChunk = []byte("0\r\n\r\n")

// scratch is memory that events are encoded in.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// keptScratch bounds what is kept of it.
const keptScratch = 64 << 10
