//go:build linux

package websocket

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// The examples of RFC 7692, section 7.2.3, and what is next to them.
func TestStrictCompressed(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	const bye, fin = "close 1000", "FIN"
	end := closeFrame(1000, "")
	cases := []strictCase{
		{"one block", frame(0xc1, hello) + end, []string{"text Hello", bye, fin}},
		{"in fragments", frame(0x41, hello[:3]) + frame(0x80, hello[3:]) + end, []string{"text Hello", bye, fin}},
		{"in fragments, some of them empty", frame(0x41, "") + frame(0x00, hello[:1]) + frame(0x00, "") + frame(0x00, hello[1:]) + frame(0x80, "") + end, []string{"text Hello", bye, fin}},
		{"a block without compression", frame(0xc1, "\x00\x05\x00\xfa\xffHello\x00") + end, []string{"text Hello", bye, fin}},
		{"a final block", frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00") + end, []string{"text Hello", bye, fin}},
		{"two blocks", frame(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00") + end, []string{"text Hello", bye, fin}},
		{"empty", frame(0xc1, "\x00") + end, []string{"text", bye, fin}},
		{"an empty one that is final", frame(0xc1, "\x03\x00") + end, []string{"text", bye, fin}},
		{"binary", frame(0xc2, hello) + end, []string{"binary Hello", bye, fin}},
		{"one behind the other", frame(0xc1, hello) + frame(0x81, "plain") + frame(0xc1, hello) + end, []string{"text Hello", "text plain", "text Hello", bye, fin}},
		{"control frames between fragments", frame(0x41, hello[:3]) + frame(0x89, "?") + frame(0x8a, "") + frame(0x80, hello[3:]) + end, []string{"pong ?", "text Hello", bye, fin}},
		{"a close between fragments", frame(0x41, hello[:3]) + end, []string{bye, fin}},
		{"a compressed ping", frame(0xc9, hello), []string{"close 1002", fin}},
		{"a compressed pong", frame(0xca, hello), []string{"close 1002", fin}},
		{"a compressed close", frame(0xc8, hello), []string{"close 1002", fin}},
		{"RSV1 in a continuation", frame(0x41, hello[:3]) + frame(0xc0, hello[3:]), []string{"close 1002", fin}},
		{"RSV1 in a continuation alone", frame(0x01, "Hel") + frame(0xc0, "lo"), []string{"close 1002", fin}},
		{"RSV1 and RSV2", frame(0xe1, hello), []string{"close 1002", fin}},
		{"RSV1 and RSV3", frame(0xd1, hello), []string{"close 1002", fin}},
		{"a block of type 3", frame(0xc1, "\x06"), []string{"close 1007", fin}},
		{"a block that is cut off", frame(0xc1, hello[:4]), []string{"close 1007", fin}},
		{"a block without compression that is cut off", frame(0xc1, "\x00\x05\x00\xfa\xffHel"), []string{"close 1007", fin}},
		{"a length without its complement", frame(0xc1, "\x00\x05\x00\x00\x00Hello\x00"), []string{"close 1007", fin}},
		{"nothing", frame(0xc1, ""), []string{"close 1007", fin}},
		{"a reference to before the message", frame(0xc1, hello) + frame(0xc1, "\xf2\x00\x11\x00\x00"), []string{"text Hello", "close 1007", fin}},
		{"text that is not UTF-8", frame(0xc1, "\x00\x02\x00\xfd\xff\xc0\xaf\x00"), []string{"close 1007", fin}},
		{"text that is cut within a character", frame(0xc1, "\x00\x02\x00\xfd\xff\xe2\x82\x00"), []string{"close 1007", fin}},
		{"the same in binary", frame(0xc2, "\x00\x02\x00\xfd\xff\xc0\xaf\x00") + end, []string{"binary \xc0\xaf", bye, fin}},
	}
	eitherWay(t, func(t *testing.T, onLoop bool) {
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, Compression: EachAlone}), onLoop)
		for _, tt := range cases {
			for _, pieces := range []int{len(tt.in), 1} {
				got, err := s.exchange(tt.in, pieces, deflateOffer+"\r\n")
				if err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("%s, in pieces of %d: got %q, %v, want %q", tt.name, pieces, got, err, tt.want)
				}
			}
		}
	})
	// The second message refers to the first, also behind a final block.
	s := start(t, &poller.Server{}, echo(Options{Compression: WithContext}), false)
	for _, first := range []string{hello, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"} {
		got, err := s.exchange(frame(0xc1, first)+frame(0xc1, "\xf2\x00\x11\x00\x00")+end, 1000, deflateOffer+"\r\n")
		if want := []string{"text Hello", "text Hello", bye, fin}; err != nil || !slices.Equal(got, want) {
			t.Errorf("with a context: got %q, %v, want %q", got, err, want)
		}
	}
}

// What a client has agreed to keep of what has come is all that is referred to: what comes again behind that is not compressed.
func TestWindow(t *testing.T) {
	s := start(t, &poller.Server{}, echo(Options{OnLoop: true, Compression: EachAlone}), true)
	random := rand.NewChaCha8([32]byte{1})
	for bits := 8; bits <= 14; bits++ {
		for _, tt := range []struct {
			period     int
			compressed bool
		}{{1<<bits + 300, false}, {1<<bits - 130, true}} {
			block := make([]byte, tt.period)
			_, _ = random.Read(block)
			message := string(bytes.Repeat(block, 3))
			c := s.open(t, fmt.Sprintf("%s; server_max_window_bits=%d\r\n", deflateOffer, bits))
			c.send(frame(0x82, message))
			g, err := c.read()
			lingertest.Must(t, err)
			if g.first != 0xc2 || unsqueeze(t, g.payload, "") != message {
				t.Errorf("%d bits: a message of %d bytes came back as %#x with %d", bits, len(message), g.first, len(g.payload))
			}
			if short := len(g.payload) < len(message)*9/10; short != tt.compressed {
				t.Errorf("%d bits: what comes again after %d bytes is referred to: %t; %d bytes became %d", bits, tt.period, short, len(message), len(g.payload))
			}
		}
	}
}

// Several handshakes on one connection, the last of which is right, and a frame that comes with it.
func TestHandshakeBehindOthers(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop}), onLoop)
		c := s.dial(t)
		wrong := strings.Replace(goodHandshake, "Version: 13", "Version: 12", 1) + "\r\n"
		c.send(wrong + wrong + goodHandshake + "\r\n" + frame(0x81, "early") + closeFrame(1000, ""))
		for _, want := range []int{426, 426, 101} {
			res := c.answer()
			_, err := io.Copy(io.Discard, res.Body)
			if res.StatusCode != want || err != nil {
				t.Fatalf("the answer is %s, %v, want %d", res.Status, err, want)
			}
			if want == 101 && (res.Header["Content-Length"] != nil || res.TransferEncoding != nil) {
				t.Errorf("the answer has content: %v", res.Header) // RFC 9110, section 8.6
			}
		}
		c.wantAll("text early", "close 1000", "FIN")
	})
}

// What has come before a client's FIN is answered.
func TestHalfClosed(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop}), onLoop)
		for _, tt := range []struct {
			in   string
			want []string
		}{
			{frame(0x81, "last words") + closeFrame(1000, ""), []string{"text last words", "close 1000", "FIN"}},
			{closeFrame(4000, "bye"), []string{"close 4000", "FIN"}},
			{frame(0x83, ""), []string{"close 1002", "FIN"}},
		} {
			c := s.open(t)
			c.send(tt.in)
			lingertest.Must(t, c.CloseWrite())
			c.wantAll(tt.want...)
		}
	})
}
