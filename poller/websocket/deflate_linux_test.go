//go:build linux

package websocket

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"

	"rstserver/poller"
)

// squeeze is a message as a client of another implementation sends it, with the history that w has.
func squeeze(t testing.TB, w *flate.Writer, buf *bytes.Buffer, message string) string {
	t.Helper()
	buf.Reset()
	_, _ = io.WriteString(w, message)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(buf.String(), flushed)
}

// unsqueeze is the opposite.
func unsqueeze(t testing.TB, payload, dict string) string {
	t.Helper()
	r := flate.NewReaderDict(strings.NewReader(payload+flushed+"\x01\x00\x00\xff\xff"), []byte(dict))
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("the server's message cannot be decompressed: %v", err)
	}
	return string(b)
}

const deflateOffer = "Sec-WebSocket-Extensions: permessage-deflate"

// What is offered, and what is agreed on (RFC 7692, section 7.1).
func TestAgree(t *testing.T) {
	const alone, both = "; server_no_context_takeover", "; server_no_context_takeover; client_no_context_takeover"
	for _, tt := range []struct {
		offer       string
		each, whole string // the answer with EachAlone and WithContext
	}{
		{"", both, ""},
		{"; client_max_window_bits", both, ""},
		{"; client_max_window_bits=8", both, ""},
		{"; client_max_window_bits=\"15\"", both, ""},
		{"; server_no_context_takeover", both, alone},
		{"; client_no_context_takeover", both, "; client_no_context_takeover"},
		{"; server_max_window_bits=10", both + "; server_max_window_bits=10", "; server_max_window_bits=10"},
		{"; server_max_window_bits=7", "none", "none"},
		{"; server_max_window_bits=16", "none", "none"},
		{"; server_max_window_bits=08", "none", "none"},
		{"; server_max_window_bits", "none", "none"},
		{"; server_no_context_takeover=1", "none", "none"},
		{"; client_max_window_bits=x", "none", "none"},
		{"; client_max_window_bits; client_max_window_bits", "none", "none"},
		{"; unknown", "none", "none"},
		{"; unknown, permessage-deflate; client_no_context_takeover", both, "; client_no_context_takeover"},
	} {
		for compression, want := range map[Compression]string{EachAlone: tt.each, WithContext: tt.whole, NoCompression: "none"} {
			o := opening{values: func(name string) []string {
				if name == "Sec-Websocket-Extensions" {
					return []string{"permessage-deflate" + tt.offer}
				}
				return nil
			}}
			if want != "none" {
				want = "permessage-deflate" + want
			} else {
				want = ""
			}
			if got, refused := o.chooseExtension(compression); refused != nil || got != want || (o.deflate != nil) != (want != "") {
				t.Errorf("%q with %d is answered with %q, %v, want %q", tt.offer, compression, got, refused, want)
			}
		}
	}
}

func TestCompression(t *testing.T) {
	for _, tt := range []struct {
		name        string
		compression Compression
		params      string
		context     bool
	}{
		{"each alone", EachAlone, "", false},
		{"each alone, small window", EachAlone, "; server_max_window_bits=9", false},
		{"with context", WithContext, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, onLoop bool) {
				s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, Compression: tt.compression, ReadLimit: 1 << 20}), onLoop)
				c := s.open(t, deflateOffer+tt.params+"\r\n")
				var buf bytes.Buffer
				w, _ := flate.NewWriter(&buf, 6)
				var sent string
				for i, message := range []string{"", "short", strings.Repeat("long and again ", 1000), strings.Repeat("other ", 100), strings.Repeat("long and again ", 1000), "κόσμε"} {
					if !tt.context {
						w.Reset(&buf)
					}
					payload := squeeze(t, w, &buf, message)
					if i%2 == 0 { // in fragments, of which the first has RSV1
						c.send(frame(0x41, payload[:len(payload)/2]) + frame(0x89, "") + frame(0x80, payload[len(payload)/2:]))
						c.want("pong")
					} else {
						c.send(frame(0xc1, payload))
					}
					g, err := c.read()
					if err != nil {
						t.Fatal(err)
					}
					switch {
					case len(message) < compressFrom:
						if g.first != 0x81 || g.payload != message {
							t.Errorf("%q came back as %s", message, g)
						}
					case g.first != 0xc1 || len(g.payload) >= len(message):
						t.Errorf("%d bytes came back as %#x with %d", len(message), g.first, len(g.payload))
					default:
						dict := ""
						if tt.context {
							dict = sent
						}
						if back := unsqueeze(t, g.payload, dict); back != message {
							t.Errorf("%.20q came back as %.20q", message, back)
						}
						sent += message
					}
				}
				// What is not compressed has its turn, too.
				c.send(frame(0x81, "plain") + closeFrame(1000, ""))
				c.wantAll("text plain", "close 1000", "FIN")
			})
		})
	}
}

// A bomb is found out before the memory is taken, and nonsense as such.
func TestCompressionRefused(t *testing.T) {
	s := start(t, &poller.Server{}, echo(Options{Compression: EachAlone, ReadLimit: 1 << 20}), false)
	var buf bytes.Buffer
	w, _ := flate.NewWriter(&buf, 1)
	bomb := squeeze(t, w, &buf, strings.Repeat("\x00", 4<<20))
	w.Reset(&buf)
	most := squeeze(t, w, &buf, strings.Repeat("m", 1<<20))
	w.Reset(&buf)
	above := squeeze(t, w, &buf, strings.Repeat("m", 1<<20+1))
	w.Reset(&buf)
	bad := squeeze(t, w, &buf, "caf\xe9")
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"bomb", frame(0xc2, bomb), []string{"close 1009", "FIN"}},
		{"one byte above", frame(0xc2, above), []string{"close 1009", "FIN"}},
		{"not text", frame(0xc1, bad), []string{"close 1007", "FIN"}},
		{"nonsense", frame(0xc2, "\xff\xff\xff\xff"), []string{"close 1007", "FIN"}},
		{"RSV1 in a continuation", frame(0x41, "a") + frame(0xc0, "b"), []string{"close 1002", "FIN"}},
		{"RSV1 in a ping", frame(0xc9, "a"), []string{"close 1002", "FIN"}},
		{"RSV2", frame(0xa1, "a"), []string{"close 1002", "FIN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.open(t, deflateOffer+"\r\n")
			c.send(tt.in)
			c.wantAll(tt.want...)
		})
	}
	c := s.open(t, deflateOffer+"\r\n")
	c.send(frame(0xc2, most))
	if g, err := c.read(); err != nil || len(unsqueeze(t, g.payload, "")) != 1<<20 {
		t.Errorf("the largest message came back as %s, %v", g, err)
	}
}

// Many small messages that become large wait for their turn.
func TestCompressionInTurn(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, Compression: EachAlone}), onLoop)
		c := s.open(t, deflateOffer+"\r\n")
		var buf bytes.Buffer
		w, _ := flate.NewWriter(&buf, 1)
		const n, size = 40, 1 << 17
		in := ""
		for i := range n {
			w.Reset(&buf)
			in += frame(0xc2, squeeze(t, w, &buf, strings.Repeat(fmt.Sprintf("%02d", i), size/2)))
		}
		c.send(in)
		for i := range n {
			g, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if back := unsqueeze(t, g.payload, ""); len(back) != size || back[:2] != fmt.Sprintf("%02d", i) {
				t.Fatalf("message %d came back as %.10q of %d", i, back, len(back))
			}
		}
	})
}
