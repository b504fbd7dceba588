package poller

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"rstserver/httpcodec"
)

// answerHead is what the header that a handler has set says about its answer, at the moment of WriteHeader.
type answerHead struct {
	minorVersion int
	keepAlive    bool // as far as the request goes

	hasLength bool
	length    int64
	badLength string // a Content-Length that is none
	hasDate   bool   // or the handler wants none
	hasType   bool   // or the handler wants none
	isStream  bool   // of events
	encoded   bool   // there is a Content-Encoding, so the content does not show its type
	trailers  []string
}

// MaxAnswerHead bounds the field lines of an answer's head, in bytes, and those of its trailer section. A handler that sets more gets
// [ErrAnswerHead] from its Write, and the client 500.
const MaxAnswerHead = 1 << 20

// ErrAnswerHead is wrapped by the errors of Write, and of what is logged, for an answer whose head has more than MaxAnswerHead bytes.
var ErrAnswerHead = errors.New("poller: the head of the answer is too large")

// checkHead refuses field lines that are more than a head may have.
func checkHead(fields []httpcodec.HeaderField) error {
	n := 0
	for _, f := range fields {
		n += len(f.Name) + len(": ") + len(f.Value) + len("\r\n")
	}
	if n > MaxAnswerHead {
		return fmt.Errorf("%w: its %d field lines have %d bytes, and %d are allowed", ErrAnswerHead, len(fields), n, MaxAnswerHead)
	}
	return nil
}

// take reads h, and appends to fields what is to be sent of it, in the order of names. As with net/http, a field whose name
// is none is left out, and line ends in values become spaces.
func (d *answerHead) take(h http.Header, fields []httpcodec.HeaderField) []httpcodec.HeaderField {
	for name, values := range h {
		switch textproto.CanonicalMIMEHeaderKey(name) { // some write to the map without it
		case "Content-Length":
			d.takeLength(values)
			continue
		case "Transfer-Encoding":
			continue // the server's to decide
		case "Date":
			d.hasDate = true
		case "Content-Type":
			d.hasType = true
			d.isStream = len(values) > 0 && strings.HasPrefix(values[0], "text/event-stream")
		case "Content-Encoding":
			d.encoded = len(values) > 0 && values[0] != ""
		case "Trailer":
			d.announce(values)
		}
		if strings.HasPrefix(name, http.TrailerPrefix) || !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, v := range values {
			fields = append(fields, httpcodec.HeaderField{Name: name, Value: clean(v)})
		}
	}
	slices.SortStableFunc(fields, func(a, b httpcodec.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

func (d *answerHead) takeLength(values []string) {
	if len(values) == 0 {
		return
	}
	n, err := strconv.ParseInt(textproto.TrimString(values[0]), 10, 64)
	if err != nil || n < 0 {
		d.badLength = values[0]
		return
	}
	d.hasLength, d.length = true, n
}

// announce notes the names that a Trailer field lists.
func (d *answerHead) announce(values []string) {
	for _, list := range values {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)); name != "" {
				d.trailers = append(d.trailers, name)
			}
		}
	}
}

// collectTrailers returns the trailer fields that h holds when the handler has returned: those announced, and those whose
// names begin with http.TrailerPrefix.
func (d *answerHead) collectTrailers(h http.Header) []httpcodec.HeaderField {
	var fields []httpcodec.HeaderField
	for _, name := range d.trailers {
		for _, v := range h[name] {
			fields = append(fields, httpcodec.HeaderField{Name: name, Value: clean(v)})
		}
	}
	for name, values := range h {
		if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			for _, v := range values {
				fields = append(fields, httpcodec.HeaderField{Name: after, Value: clean(v)})
			}
		}
	}
	return fields
}

// clean puts a space in the place of each control character, so that a value cannot end its line.
func clean(v string) string {
	control := func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }
	for i := range len(v) {
		if !control(v[i]) {
			continue
		}
		b := []byte(v)
		for i, c := range b {
			if control(c) {
				b[i] = ' '
			}
		}
		return string(b)
	}
	return v
}
