package httpcodec_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rstserver/httpcodec"
)

// head is a Request as text, so that a table can say what is expected and cmp can tell what differs.
type head struct {
	Method, Target, Path, Query, Host, Upgrade string
	Form                                       httpcodec.TargetForm
	HasQuery, HasUpgrade                       bool
	Minor                                      int
	Fields                                     []httpcodec.HeaderField
	Length                                     int64
	Chunked, KeepAlive, Continue               bool
}

// textOf copies what req views.
func textOf(req *httpcodec.Request) head {
	return head{
		Method: string(req.Method), Target: string(req.RequestTarget), Path: string(req.Path), Query: string(req.Query),
		Host: string(req.Host), Upgrade: string(req.Upgrade), Form: req.Form, HasQuery: req.HasQuery,
		HasUpgrade: req.Upgrade != nil, Minor: req.MinorVersion, Fields: fieldsOf(req.Fields), Length: req.ContentLength,
		Chunked: req.Chunked, KeepAlive: req.KeepAlive, Continue: req.ExpectContinue,
	}
}

func fieldsOf(fields []httpcodec.Field) (text []httpcodec.HeaderField) {
	for _, f := range fields {
		text = append(text, httpcodec.HeaderField{Name: string(f.Name), Value: string(f.Value)})
	}
	return text
}

// outcome is what a series of calls of Parse came to.
type outcome struct {
	N    int
	Err  error
	Head head
}

// parsePieces gives in to a Parser, cut at the given offsets and then whole. Each call gets a buffer of its own without
// a spare byte behind it, and the others' are overwritten, as if the buffer had moved. The Request serves another
// connection between the calls.
func parsePieces(in string, lim httpcodec.Limits, cuts ...int) outcome {
	var p httpcodec.Parser
	var req httpcodec.Request
	for _, cut := range append(cuts, len(in)) {
		buf := slices.Clip([]byte(in[:cut]))
		n, err := p.Parse(buf, lim, &req)
		if err != nil {
			return outcome{Err: err}
		}
		if n > 0 {
			return outcome{N: n, Head: textOf(&req)}
		}
		clear(buf)
		var other httpcodec.Parser
		other.Parse([]byte("PUT * HTTP/1.0\r\nContent-Length: 7\r\nUpgrade: x\r\nExpect: y\r\nConnection: upgrade\r\n\r\n"),
			httpcodec.Limits{}, &req)
		other.Parse([]byte("POST /o?p HTTP/1.1\r\nHost: o\r\nContent-Length: 7\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
			httpcodec.Limits{}, &req)
	}
	return outcome{}
}

// everyByte returns the offsets that cut in into single bytes.
func everyByte(in string) (cuts []int) {
	for i := range len(in) {
		cuts = append(cuts, i)
	}
	return cuts
}

// parseAllWays parses in whole, byte by byte and cut in two at each offset, and fails when the outcomes differ.
func parseAllWays(t *testing.T, in string, lim httpcodec.Limits) outcome {
	t.Helper()
	want := parsePieces(in, lim)
	if got := parsePieces(in, lim, everyByte(in)...); !sameOutcome(got, want) {
		t.Errorf("Parse(%.200q) byte by byte differs from whole (-whole +bytes):\n%s", in, cmp.Diff(want, got, byIdentity))
	}
	if len(in) < 1000 {
		for cut := range len(in) {
			if got := parsePieces(in, lim, cut); !sameOutcome(got, want) {
				t.Errorf("Parse(%.200q) cut at %d differs from whole (-whole +cut):\n%s", in, cut, cmp.Diff(want, got, byIdentity))
			}
		}
	}
	return want
}

func sameOutcome(a, b outcome) bool { return cmp.Equal(a, b, byIdentity) }

// byIdentity compares errors as == does.
var byIdentity = cmp.Comparer(func(a, b error) bool { return a == b })

// statusOf returns the status of an *Error, 0 for nil and -1 for any other error.
func statusOf(err error) int {
	if err == nil {
		return 0
	}
	var e *httpcodec.Error
	if !errors.As(err, &e) {
		return -1
	}
	return e.Status
}
