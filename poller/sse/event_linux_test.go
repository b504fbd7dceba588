//go:build linux

package sse

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// Events stand in a stream as they are to.
func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Event
		want string
	}{
		{"data", Event{Data: "hello"}, "data: hello\n\n"},
		{"all", Event{ID: "7", Event: "add", Data: "a\nb", Retry: time.Second}, "id: 7\nevent: add\nretry: 1000\ndata: a\ndata: b\n\n"},
		{"line ends", Event{Data: "a\r\nb\rc\nd\n\re"}, "data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\n\n"},
		{"ends with a line end", Event{Data: "a\n"}, "data: a\ndata: \n\n"},
		{"spaces", Event{Data: " a", Event: " b"}, "event:  b\ndata:  a\n\n"},
		{"colon", Event{Data: ": no comment", ID: "a:b"}, "id: a:b\ndata: : no comment\n\n"},
		{"type alone", Event{Event: "ping"}, "event: ping\ndata: \n\n"},
		{"ID alone", Event{ID: "7"}, "id: 7\n\n"},
		{"retry alone", Event{Retry: 1}, "retry: 1\n\n"},
		{"longest retry", Event{Retry: math.MaxInt64}, "retry: 9223372036855\n\n"},
		{"nothing", Event{}, "\n"},
		{"NUL in data", Event{Data: "a\x00b"}, "data: a\x00b\n\n"},
		{"other line ends are none", Event{Data: "a\u2028b\u0085c\vd"}, "data: a\u2028b\u0085c\vd\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.e.AppendText([]byte("before")); err != nil || string(got) != "before"+tt.want {
				t.Fatalf("as text it is %q, %v, want %q", got, err, tt.want)
			}
			f := encode(nil, &tt.e)
			if got := string(f.as(false)); got != tt.want {
				t.Errorf("it is %q, want %q", got, tt.want)
			}
			chunks := io.MultiReader(bytes.NewReader(f.as(true)), bytes.NewReader(lastChunk))
			if got, err := io.ReadAll(httputil.NewChunkedReader(chunks)); err != nil || string(got) != tt.want {
				t.Errorf("the chunk has %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if got, err := io.ReadAll(httputil.NewChunkedReader(io.MultiReader(bytes.NewReader(heartbeat.as(true)), bytes.NewReader(lastChunk)))); err != nil || string(got) != string(heartbeat.as(false)) {
		t.Errorf("a heartbeat is %q in a chunk, %v, and %q without", got, err, heartbeat.as(false))
	}
}

// What a stream cannot express is refused, and the error says what it is.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		e    Event
		want string
	}{
		{Event{Event: "a\nb"}, "line end"},
		{Event{Event: "a\rb"}, "line end"},
		{Event{ID: "a\nb"}, "control character"},
		{Event{ID: "a\rb"}, "control character"},
		{Event{ID: "a\x00b"}, "control character"},
		{Event{ID: "a\tb"}, "control character"},
		{Event{ID: " a"}, "space"},
		{Event{ID: "a "}, "space"},
		{Event{Retry: -1}, "negative"},
		{Event{Retry: math.MinInt64}, "negative"},
		{Event{Data: "\xff"}, "UTF-8"},
		{Event{ID: "\xff"}, "UTF-8"},
		{Event{Event: "\xff"}, "UTF-8"},
	} {
		got, err := tt.e.AppendText([]byte("before"))
		if lingertest.ExpectError(t, err, "sse: ", tt.want); string(got) != "before" {
			t.Errorf("%q is appended all the same", got)
		}
	}
}

// What is not refused arrives, whatever it is.
func FuzzEvent(f *testing.F) {
	f.Add("1", "add", "a\r\nb", int64(time.Second))
	f.Add("", "", " \x00:", int64(0))
	f.Add("é", "data", "id: 5\n\nevent: x", int64(1))
	f.Fuzz(func(t *testing.T, id, kind, data string, retry int64) {
		e := Event{ID: id, Event: kind, Data: data, Retry: time.Duration(retry)}
		if e.check() != nil {
			return
		}
		var b []byte
		for _, e := range []Event{e, {Event: "end"}} {
			b = append(b, encode(nil, &e).as(false)...)
		}
		p := parser{in: bufio.NewReader(bytes.NewReader(b))}
		g, err := p.next()
		want := got{kind, strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n"), id}
		if want.kind == "" {
			want.kind = "message"
		}
		if data == "" && kind == "" {
			want = got{"end", "", id}
		}
		if err != nil || g != want {
			t.Errorf("%+v arrives as %q, %v, want %q", e, g, err, want)
		}
		if retry > 0 && retry < int64(math.MaxInt32)*int64(time.Millisecond) && p.retry != int((retry+999_999)/1_000_000) {
			t.Errorf("the retry of %d arrives as %d", retry, p.retry)
		}
	})
}
