//go:build linux

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// transcript is what happened on one connection, in a form that can be compared between servers: what the handler saw, and
// what the client got. The order of field lines with different names has no meaning (RFC 9110, section 5.3), and where a
// content is cut into chunks has none either (RFC 9112, section 7.1), so neither is in it. Everything else is.
type transcript struct {
	mu sync.Mutex
	b  strings.Builder
}

func (tr *transcript) notef(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	fmt.Fprintf(&tr.b, format+"\n", args...)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.b.String()
}

// request notes all fields of a request as a handler gets it.
func (tr *transcript) request(r *http.Request) {
	v := reflect.ValueOf(*r)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		value := v.Field(i).Interface()
		switch field.Name {
		case "Body":
			value = r.Body == http.NoBody
		case "RemoteAddr":
			value = regexp.MustCompile(`:\d+$`).ReplaceAllString(r.RemoteAddr, ":PORT")
		case "URL":
			value = fmt.Sprintf("%#v", *r.URL)
		case "GetBody", "Cancel", "TLS", "Response":
			value = v.Field(i).IsNil()
		}
		tr.notef("request: %s: %#v", field.Name, value)
	}
	tr.notef("request: context: local %T, server %v, error %v", r.Context().Value(http.LocalAddrContextKey),
		r.Context().Value(http.ServerContextKey) != nil, r.Context().Err())
}

// errorClass names an error in a way that does not depend on the server's choice of words.
func errorClass(err error) string {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &tooLarge):
		return fmt.Sprintf("MaxBytesError(%d)", tooLarge.Limit)
	}
	for _, known := range []error{
		io.EOF, io.ErrUnexpectedEOF, http.ErrBodyNotAllowed, http.ErrContentLength, http.ErrHijacked, http.ErrBodyReadAfterClose,
		http.ErrHandlerTimeout, http.ErrNotSupported, http.ErrAbortHandler, os.ErrDeadlineExceeded, context.Canceled,
		syscall.ECONNRESET,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "some error"
}

var (
	statusLine = regexp.MustCompile(`^HTTP/1\.[01] (\d{3}) `)
	dateLine   = regexp.MustCompile(`^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$`)
)

// answers notes the answers in raw, which the server sent up to the end of the connection. methods are those of the requests.
func (tr *transcript) answers(raw []byte, end error, methods []string) {
	for len(raw) > 0 {
		method := "GET"
		if len(methods) > 0 {
			method = methods[0]
		}
		n, final := tr.answer(raw, method)
		if raw = raw[n:]; final && len(methods) > 0 {
			methods = methods[1:]
		}
	}
	switch {
	case end == nil:
		tr.notef("end: FIN")
	case errors.Is(end, syscall.ECONNRESET):
		tr.notef("end: RST")
	default:
		tr.notef("end: %v", end)
	}
}

// answer notes the first answer in raw, and returns its length and whether it is a final one.
func (tr *transcript) answer(raw []byte, method string) (n int, final bool) {
	head, rest, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	match := statusLine.FindStringSubmatch(lines[0])
	if !ok || match == nil {
		tr.notef("no answer: %q", raw)
		return len(raw), false
	}
	status, _ := strconv.Atoi(match[1])
	tr.notef("answer: %s", lines[0])
	fields := lines[1:]
	slices.SortStableFunc(fields, func(a, b string) int { return strings.Compare(name(a), name(b)) })
	length, chunked := -1, false
	for _, f := range fields {
		tr.notef("field: %s", visible(dateLine.ReplaceAllString(f, "Date: NOW")))
		switch value := strings.Trim(f[len(name(f)):], ": "); name(f) {
		case "content-length":
			length, _ = strconv.Atoi(value)
		case "transfer-encoding":
			chunked = strings.HasSuffix(value, "chunked")
		}
	}
	n = len(raw) - len(rest)
	switch {
	case status < 200 && status != 101:
		return n, false
	case method == "HEAD" || status == 204 || status == 304:
		return n, true
	case status == 101:
		if bytes.HasSuffix(rest, []byte("sentinel")) {
			rest = []byte("the sentinel's answer") // which has a Date
		}
		tr.notef("behind 101: %q", rest)
		return len(raw), true
	case chunked:
		return n + tr.chunks(rest), true
	case length < 0:
		tr.notef("content to the end: %s", brief(rest))
		return len(raw), true
	case length > len(rest):
		tr.notef("content cut off: %s", brief(rest))
		return len(raw), true
	}
	tr.notef("content: %s", brief(rest[:length]))
	return n + length, true
}

// chunks notes chunked content, and returns its length.
func (tr *transcript) chunks(raw []byte) int {
	var content []byte
	rest := raw
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		size, err := strconv.ParseUint(string(line), 16, 32)
		switch {
		case !ok || err != nil || size > 0 && uint64(len(after)) < size+2:
			tr.notef("chunks cut off: %s", brief(append(content, after...)))
			return len(raw)
		case size == 0:
			tr.notef("chunks: %s", brief(content))
			return len(raw) - len(after) + tr.trailers(after)
		}
		content = append(content, after[:size]...)
		rest = after[size+2:]
	}
}

// trailers notes a trailer section, and returns its length.
func (tr *transcript) trailers(raw []byte) int {
	var fields []string
	rest := raw
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if rest = after; !ok || len(line) == 0 {
			break
		}
		fields = append(fields, string(line))
	}
	slices.SortStableFunc(fields, func(a, b string) int { return strings.Compare(name(a), name(b)) })
	for _, f := range fields {
		tr.notef("trailer: %s", visible(f))
	}
	return len(raw) - len(rest)
}

// visible shows control characters.
func visible(line string) string { return strings.Trim(strconv.Quote(line), `"`) }

// name is the name of a field line, in lower case.
func name(line string) string {
	n, _, _ := strings.Cut(line, ":")
	return strings.ToLower(n)
}

// brief quotes what is short, and sums up what is not.
func brief(b []byte) string {
	if len(b) <= 200 {
		return strconv.Quote(string(b))
	}
	sum := uint32(1)
	for _, c := range b {
		sum = sum*31 + uint32(c)
	}
	return fmt.Sprintf("%d bytes, sum %08x, %q...", len(b), sum, b[:20])
}
