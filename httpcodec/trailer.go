package httpcodec

import "bytes"

// Bounds of a trailer section, which is kept in memory until the message ends. More is ErrTrailerTooLarge.
const (
	MaxTrailerBytes  = 8 << 10 // the empty line at its end included
	MaxTrailerFields = 100
)

// trailer gathers a trailer section (RFC 9112 7.1.2).
type trailer struct {
	buf    []byte // the lines so far, the last one possibly not whole; filled only when it is not empty
	line   int    // start of the last line
	lines  int    // whole field lines
	fields []Field
}

// empty removes the content of t, whose memory remains.
func (t *trailer) empty() *trailer {
	if t != nil {
		*t = trailer{buf: t.buf[:0], fields: t.fields[:0]}
	}
	return t
}

// trailerSection takes bytes of the trailer section, up to the end of a line at most, and returns how many.
func (d *BodyDecoder) trailerSection(src []byte) (n int, err *Error) {
	n = bytes.IndexByte(src, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(src)
	}
	// An empty line that came in one piece is seen where it is, so a message without trailers needs no memory.
	emptyLine := n == 2 && whole && src[0] == '\r'
	if t := d.trailer; t == nil && !emptyLine {
		d.trailer = new(trailer)
	} else if emptyLine && (t == nil || t.line == len(t.buf) && len(t.buf)+n <= MaxTrailerBytes) {
		d.endTrailers()
		return n, nil
	}
	t := d.trailer
	if room := MaxTrailerBytes - len(t.buf); n > room {
		return room, ErrTrailerTooLarge
	}
	t.buf = append(t.buf, src[:n]...)
	if !whole {
		return n, nil
	}
	line := t.buf[t.line:]
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return n, errBareLF
	}
	if len(line) == 2 {
		t.buf = t.buf[:t.line]
		d.endTrailers()
		return n, nil
	}
	if t.lines++; t.lines > MaxTrailerFields {
		return n, ErrTrailerTooLarge
	}
	name, _, err := splitField(line[:len(line)-2])
	if err != nil {
		return n, err
	}
	if trailerUse(name) == trailerRefused {
		return n, errTrailerField
	}
	t.line = len(t.buf)
	return n, nil
}

// endTrailers makes the fields, now that buf moves no more. Its lines were checked as they came.
func (d *BodyDecoder) endTrailers() {
	d.state = bodyDone
	t := d.trailer
	if t == nil {
		return
	}
	for rest := t.buf; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		name, value, _ := splitField(rest[:end-1])
		if trailerUse(name) == trailerKept {
			t.fields = append(t.fields, Field{Name: name, Value: value})
		}
		rest = rest[end+1:]
	}
}

// What becomes of a field in a trailer section.
const (
	trailerKept = iota
	trailerDropped
	trailerRefused
)

// trailerUse decides by RFC 9110 6.5.1: fields that are needed before the content is read do not belong behind it. The
// names are those that act on framing, routing, control, authentication or the form of the content.
func trailerUse[T string | []byte](name T) int {
	var b [len("if-unmodified-since")]byte // none of them is longer
	if len(name) > len(b) {
		return trailerKept
	}
	lower := b[:len(name)]
	for i := range lower {
		lower[i] = lowerCase(name[i])
	}
	switch string(lower) {
	case "content-length", "transfer-encoding", "host":
		return trailerRefused
	case "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", // message framing, RFC 9110 7.6.1
		"cache-control", "expect", "max-forwards", "pragma", "range", // controls, RFC 9110 10.1, 14.2
		"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", // conditionals, RFC 9110 13.1
		"authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "cookie", "set-cookie",
		"age", "date", "expires", "location", "retry-after", "vary", "warning", // control data of answers
		"content-encoding", "content-range", "content-type": // how to process the content, RFC 9110 8
		return trailerDropped
	}
	return trailerKept
}
