package httpcodec

import (
	"errors"
	"strconv"
)

// What AppendHead and AppendLastChunk refuse to write. The text that was refused is not repeated.
var (
	// ErrInvalidStatus: Response.Status is not in 100 to 599 (RFC 9110 15), or is 1xx in an answer to HTTP/1.0 (15.2).
	ErrInvalidStatus = errors.New("httpcodec: invalid status code")
	// ErrInvalidReason: Response.Reason holds a control character.
	ErrInvalidReason = errors.New("httpcodec: invalid reason phrase")
	// ErrInvalidFieldName: a field name is not a token.
	ErrInvalidFieldName = errors.New("httpcodec: invalid field name")
	// ErrInvalidFieldValue: a field value (ContentType and Date included) holds a control character other than HTAB.
	ErrInvalidFieldValue = errors.New("httpcodec: invalid field value")
	// ErrFramingField: Content-Length or Transfer-Encoding among Response.Fields, where AppendHead decides on them; or
	// in a trailer section a field that does not belong there.
	ErrFramingField = errors.New("httpcodec: field clashes with message framing")
)

// HeaderField is a field line to be written. Whitespace around the value is not written.
type HeaderField struct {
	Name, Value string
}

// Response is the head of an answer. Its zero value but for Status is an answer of HTTP/1.0 without content.
type Response struct {
	// Status is the status code, 100 to 599.
	Status int
	// Reason is the reason phrase. Empty means that of RFC 9110 15 or of the IANA registry, if there is one.
	Reason string
	// MinorVersion is the request's, 0 or 1. An answer to HTTP/1.0 says HTTP/1.0, as with net/http: RFC 9110 2.5 would
	// let a server send its own version, but clients that old exist because they know no other.
	MinorVersion int
	// Head says that the request's method is HEAD: the head is the one that GET would get, and no content follows. Where the
	// length of that is not known, the head says nothing of it.
	Head bool
	// KeepAlive says that the connection is to be used again. Framing.KeepAlive says whether it can be.
	KeepAlive bool
	// ContentLength is the length of the content in bytes. -1 and less mean that it is not known: the content is
	// chunked in HTTP/1.1, and ends with the connection in HTTP/1.0. It is ignored where a status has no content: 1xx and
	// 204 carry no Content-Length (RFC 9110 8.6), 205 always has zero (15.3.6), and 304, where it is the length
	// that 200 would have had, carries it when it is above zero, since zero cannot be told from not set.
	ContentLength int64
	// Date is the value of the Date field, see AppendDate. Nil means none, as does a Date among Fields, which wins.
	Date []byte
	// ContentType is the value of the Content-Type field. Empty means none, as does one among Fields, which wins.
	ContentType string
	// Fields are written in their order. Content-Length and Transfer-Encoding are ErrFramingField. Of Connection, the
	// option close sets KeepAlive off, keep-alive says nothing, and others, as upgrade for 101, are written.
	Fields []HeaderField
}

// FramingKind says how the content after a head is to be written.
type FramingKind uint8

// Kinds of framing (RFC 9112 6.3).
const (
	NoContent  FramingKind = iota // nothing may follow: HEAD, 1xx, 204, 205, 304
	Length                        // exactly Response.ContentLength bytes
	Chunked                       // AppendChunk for each piece, then AppendLastChunk
	UntilClose                    // any number of bytes, then the connection is closed
)

// Framing is what AppendHead decided.
type Framing struct {
	Kind FramingKind
	// KeepAlive: the connection can be used again once the content is written. After a final answer without it the
	// client was told, and the connection has to be closed.
	KeepAlive bool
}

// AppendHead appends status line, field lines and the empty line to dst, and returns how to write the content. Names and
// values are checked, so that nothing that a client sent can end a line (RFC 9110 5.5). On an error dst comes back as it
// was. The error is one of the Err variables above.
func (r *Response) AppendHead(dst []byte) (out []byte, f Framing, err error) {
	if r.Status < 100 || r.Status > 599 || r.Status < 200 && r.MinorVersion == 0 {
		return dst, Framing{}, ErrInvalidStatus
	}
	out = r.appendStatusLine(dst)
	if !isText(out[len(dst) : len(out)-2]) {
		return dst, Framing{}, ErrInvalidReason
	}
	out, f, hasDate, hasType, err := r.appendFields(out)
	if err != nil {
		return dst, Framing{}, err
	}
	if r.ContentType != "" && !hasType {
		if out, err = appendField(out, "Content-Type", r.ContentType); err != nil {
			return dst, Framing{}, err
		}
	}
	if len(r.Date) > 0 && !hasDate {
		if out, err = appendField(out, "Date", r.Date); err != nil {
			return dst, Framing{}, err
		}
	}
	out, f = r.appendFraming(out, f)
	return append(out, "\r\n"...), f, nil
}

// appendStatusLine appends HTTP-version SP status-code SP [ reason-phrase ] CRLF (RFC 9112 4).
func (r *Response) appendStatusLine(dst []byte) []byte {
	if r.MinorVersion == 0 {
		dst = append(dst, "HTTP/1.0 "...)
	} else {
		dst = append(dst, "HTTP/1.1 "...)
	}
	s := r.Status
	dst = append(dst, byte('0'+s/100), byte('0'+s/10%10), byte('0'+s%10), ' ')
	if r.Reason != "" {
		dst = append(dst, r.Reason...)
	} else {
		dst = append(dst, reasonPhrase(s)...)
	}
	return append(dst, "\r\n"...)
}

// appendFields appends Response.Fields, and takes from them what Connection says.
func (r *Response) appendFields(dst []byte) (out []byte, f Framing, hasDate, hasType bool, err error) {
	f.KeepAlive = r.KeepAlive
	for i := range r.Fields {
		field := &r.Fields[i]
		start := len(dst)
		if dst, err = appendField(dst, field.Name, field.Value); err != nil {
			return nil, f, false, false, err
		}
		name := dst[start : start+len(field.Name)]
		switch len(name) {
		case len("date"):
			hasDate = hasDate || equalFold(name, "date")
		case len("connection"):
			if equalFold(name, "connection") {
				var c connection
				if dst, c = reduceConnection(dst, start, len(dst)); c&closeOption != 0 {
					f.KeepAlive = false
				}
			}
		case len("content-type"):
			hasType = hasType || equalFold(name, "content-type")
		case len("content-length"):
			if equalFold(name, "content-length") {
				return nil, f, false, false, ErrFramingField
			}
		case len("transfer-encoding"):
			if equalFold(name, "transfer-encoding") {
				return nil, f, false, false, ErrFramingField
			}
		}
	}
	return dst, f, hasDate, hasType, nil
}

// appendField appends field-name ":" SP field-value CRLF. What it checks are the bytes already appended, since those
// can be looked at eight at a time.
func appendField[T string | []byte](dst []byte, name string, value T) ([]byte, error) {
	start := len(dst)
	dst = append(dst, name...)
	if !isToken(dst[start:]) {
		return nil, ErrInvalidFieldName
	}
	dst = append(dst, ':', ' ')
	start = len(dst)
	dst = append(dst, value...)
	v := dst[start:]
	if !isText(v) {
		return nil, ErrInvalidFieldValue
	}
	if n := len(v); n > 0 && (v[0] <= ' ' || v[n-1] <= ' ') {
		dst = append(dst[:start], trimOWS(v)...)
	}
	return append(dst, '\r', '\n'), nil
}

// reduceConnection takes close and keep-alive, on which AppendHead decides, out of the Connection line dst[start:end],
// which is the last one in dst, and all of the line when nothing else is in it.
func reduceConnection(dst []byte, start, end int) ([]byte, connection) {
	list := dst[start+len("Connection: ") : end-2]
	c := connectionOptions(list)
	if c&(closeOption|keepAliveOption) == 0 {
		return dst, c
	}
	out := dst[:start+len("Connection: ")]
	empty := true
	for len(list) > 0 {
		// The options kept move down, onto bytes that were read already.
		var option []byte
		option, list = nextElement(list)
		if len(option) == 0 || equalFold(option, "close") || equalFold(option, "keep-alive") {
			continue
		}
		if !empty {
			out = append(out, ',')
		}
		out = append(out, option...)
		empty = false
	}
	if empty {
		return dst[:start], c
	}
	return append(out, '\r', '\n'), c
}

// appendFraming appends the fields that say where the content ends and what becomes of the connection (RFC 9112 6, 9.3).
func (r *Response) appendFraming(dst []byte, f Framing) ([]byte, Framing) {
	switch {
	case r.Status < 200:
		// An interim answer says nothing of the connection, and 101 least of all (RFC 9110 15.2).
		return dst, f
	case r.Status == 204:
	case r.Status == 304:
		if r.ContentLength > 0 {
			dst = appendContentLength(dst, r.ContentLength)
		}
	case r.Status == 205:
		dst = appendContentLength(dst, 0)
	case r.ContentLength >= 0:
		f.Kind = Length
		dst = appendContentLength(dst, r.ContentLength)
	case r.Head: // what GET would say is not known either (RFC 9110 9.3.2)
	case r.MinorVersion > 0:
		f.Kind = Chunked
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	default:
		f.Kind = UntilClose
		f.KeepAlive = false
	}
	if r.Head {
		f.Kind = NoContent
	}
	switch {
	case !f.KeepAlive:
		// Also in HTTP/1.0, where it is the default: RFC 9112 9.6 has the side that will close say so.
		dst = append(dst, "Connection: close\r\n"...)
	case r.MinorVersion == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst, f
}

func appendContentLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}
