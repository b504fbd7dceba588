package httpcodec

import "unsafe"

// Defaults for the zero value of Limits.
const (
	DefaultHeaderBytes = 64 << 10
	DefaultFields      = 100
)

// MaxMethodBytes is the length of the longest method that is parsed; the longest registered one has 17 bytes.
const MaxMethodBytes = 32

// Limits bounds a request head, and says how strict its reading is. The zero value means the defaults.
type Limits struct {
	// HeaderBytes bounds the bytes from the first of the request to the empty line that ends the head, that line
	// (and an empty line before the request line) included. A head of exactly HeaderBytes passes. Zero and less
	// mean DefaultHeaderBytes. What is larger is refused with 414 when the request-target alone does not fit, with
	// 501 when it is the method, else with 431 (ErrRequestTargetTooLong, ErrMethodTooLong, ErrHeaderTooLarge). Above
	// 2 GiB - 1 counts as that.
	HeaderBytes int
	// Fields bounds the number of field lines. Zero and less mean DefaultFields. More are ErrTooManyFields.
	Fields int
	// LaxTarget lets characters into path and query that RFC 3986 has no place for there, but that browsers send as they
	// are (URL standard of WHATWG), as in /?a[]=1|2: " % < > [ \ ] ^ ` { | } and bytes above 0x7f. A program behind this one
	// may read them in another way, so that the two can be of different minds about what was asked for.
	LaxTarget bool
}

// Field is a field line of a header or trailer section.
type Field struct {
	Name  []byte // as sent, a token
	Value []byte // without whitespace around it
}

// TargetForm is one of the four forms of the request-target (RFC 9112 3.2).
type TargetForm uint8

// The forms in the order of the RFC.
const (
	OriginForm    TargetForm = iota // /path?query
	AbsoluteForm                    // http://host/path?query
	AuthorityForm                   // host:port, CONNECT only
	AsteriskForm                    // *, OPTIONS only
)

// Request is the head of a request. All slices are views into the buffer given to Parse, valid as long as that is left
// alone, and cut so that an append to them copies.
type Request struct {
	Method        []byte // a token; case matters
	RequestTarget []byte // as sent
	Form          TargetForm
	Path          []byte // as sent; for absolute-form without path "/", or "*" for OPTIONS; "*" in asterisk-form; nil in authority-form
	Query         []byte // as sent, without "?"
	HasQuery      bool   // there was a "?"
	Host          []byte // host[:port] of the target where it has one (RFC 9112 3.2.2), else the value of Host; can be empty
	MinorVersion  int    // 0 or 1; HTTP/1.2 and up count as 1.1 (RFC 9110 2.5)
	Fields        []Field
	ContentLength int64 // -1: no Content-Length
	Chunked       bool  // the content is chunked, and ContentLength is -1
	KeepAlive     bool  // as far as the client says, the connection can be used for another request (RFC 9112 9.3)

	// ExpectContinue: the client waits for 100 (Continue) before it sends the content (RFC 9110 10.1.1). Not set when
	// there is no content, and never for HTTP/1.0.
	ExpectContinue bool
	// Upgrade is the first Upgrade field that is not empty, when the Connection field lists it too and the version is
	// 1.1, else nil (RFC 9110 7.8).
	Upgrade []byte
}

// HasBody reports whether content follows the head, so whether a BodyDecoder has anything to do (RFC 9112 6).
func (r *Request) HasBody() bool { return r.Chunked || r.ContentLength > 0 }

// Get returns the value of the first field of that name, whatever the case of its letters, and nil when there is none.
// An empty value is not nil.
func (r *Request) Get(name string) []byte {
	for i := range r.Fields {
		if f := &r.Fields[i]; equalFoldAny(f.Name, name) {
			return f.Value
		}
	}
	return nil
}

// HasToken reports whether a field of that name, all of its lines together, lists the token (RFC 9110 5.6.1). The case
// of letters does not matter in either.
func (r *Request) HasToken(name, token string) bool {
	for i := range r.Fields {
		f := &r.Fields[i]
		if !equalFoldAny(f.Name, name) {
			continue
		}
		for list := f.Value; len(list) > 0; {
			var element []byte
			if element, list = nextElement(list); equalFoldAny(element, token) {
				return true
			}
		}
	}
	return false
}

// Move makes the slices of r, which are views into from, views of the same bytes in to, a copy of from.
func (r *Request) Move(from, to []byte) {
	for _, view := range [...]*[]byte{&r.Method, &r.RequestTarget, &r.Path, &r.Query, &r.Host, &r.Upgrade} {
		move(view, from, to)
	}
	for i := range r.Fields {
		move(&r.Fields[i].Name, from, to)
		move(&r.Fields[i].Value, from, to)
	}
}

// move leaves a view as it is that is not one into from, such as the path of a target that has none.
func move(view *[]byte, from, to []byte) {
	v := *view
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(v))) - uintptr(unsafe.Pointer(unsafe.SliceData(from)))
	if end := begin + uintptr(len(v)); v != nil && begin <= end && end <= uintptr(len(from)) {
		*view = to[begin:end:end]
	}
}
