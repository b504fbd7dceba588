//go:build linux

package websocket

import (
	"fmt"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// OnFragment gets a message of any length as it comes, and text is checked all the same.
func TestOnFragment(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		var got strings.Builder
		whole := make(chan string, 10)
		s := start(t, &poller.Server{}, &Options{OnLoop: onLoop, OnFragment: func(_ *Conn, t Type, data []byte, last bool) {
			got.Write(data)
			if last {
				whole <- fmt.Sprint(t, " ", got.Len(), " ", strings.Trim(got.String(), "m"))
				got.Reset()
			}
		}}, onLoop)
		c := s.open(t)
		const long = 3 << 20 // above the bound of whole messages
		c.send(frame(0x81, "short") + frame(0x01, "in ") + frame(0x89, "") + frame(0x00, "") + frame(0x80, "parts") + frame(0x82, strings.Repeat("m", long)) + frame(0x81, ""))
		c.want("pong")
		for _, want := range []string{"text 5 short", "text 8 in parts", fmt.Sprintf("binary %d ", long), "text 0 "} {
			if got := <-whole; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		c.send(frame(0x01, "good") + frame(0x00, "\xff"))
		c.wantAll("close 1007", "FIN")
	})
}

// What is wrong is found within a frame that has not come whole.
func TestFailFast(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop}), onLoop)
		for name, in := range map[string]string{
			"text":                frame(0x81, strings.Repeat("a", 200)+"\xff"+strings.Repeat("a", 200))[:300],
			"text, surrogate":     frame(0x81, "\xed\xa0\x80 and more")[:6+2],
			"text, above Unicode": frame(0x01, "ab\xf4\x90\x80\x80")[:6+4],
			"text, overlong":      frame(0x01, "\xe0\x9f")[:6+2],
			"first byte":          "\x83",
			"reserved bit":        "\x91",
			"no mask":             "\x81\x05",
			"control":             "\x89\xfe",
			"16 bits":             "\x82\xfe\x00\x7d",
			"64 bits":             "\x82\xff\x80",
			"64 bits short":       "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",
		} {
			t.Run(name, func(t *testing.T) {
				c := s.open(t)
				c.send(in)
				want := "close 1002"
				if strings.HasPrefix(name, "text") {
					want = "close 1007"
				}
				c.wantAll(want, "FIN")
			})
		}
		c := s.open(t)
		c.send("\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00") // before the mask
		c.wantAll("close 1009", "FIN")
		lingertest.Wait(t, "all are counted off", func() bool { return s.Report().Connections[0] == 0 })
	})
}
