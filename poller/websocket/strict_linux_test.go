//go:build linux

package websocket

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"rstserver/poller"
)

// strictCase is what a client sends behind the handshake, and what comes back.
type strictCase struct {
	name string
	in   string
	want []string
}

// strictCases go through RFC 6455, section by section.
func strictCases() (all []strictCase) {
	add := func(name, in string, want ...string) { all = append(all, strictCase{name, in, want}) }
	const bye = "close 1000"
	end := closeFrame(1000, "")

	// 5.2: lengths, in each of the three forms.
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 100, 124, 125, 126, 127, 128, 129, 255, 256, 65534, 65535, 65536, 65537, 1 << 18} {
		payload := strings.Repeat("m", n)
		add(fmt.Sprintf("text of %d", n), frame(0x81, payload)+end, got{0x81, payload}.String(), bye, "FIN")
		add(fmt.Sprintf("binary of %d", n), frame(0x82, payload)+end, got{0x82, payload}.String(), bye, "FIN")
	}
	for n := range 126 {
		add(fmt.Sprintf("length of %d in 16 bits", n), "\x82\xfe"+string([]byte{0, byte(n)})+"\x00\x00\x00\x00"+strings.Repeat("m", n), "close 1002", "FIN")
	}
	for _, n := range []int{0, 1, 125, 126, 127, 65535} {
		add(fmt.Sprintf("length of %d in 64 bits", n), "\x82\xff"+string([]byte{0, 0, 0, 0, 0, 0, byte(n >> 8), byte(n)})+"\x00\x00\x00\x00"+strings.Repeat("m", n), "close 1002", "FIN")
	}
	add("length with the highest bit", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00", "close 1002", "FIN")
	add("length of 2^63-1", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "close 1009", "FIN")
	add("one byte above the limit", "\x82\xff\x00\x00\x00\x00\x00\x10\x00\x01\x00\x00\x00\x00", "close 1009", "FIN")
	add("fragments above the limit", frame(0x02, strings.Repeat("m", 1<<19))+frame(0x00, strings.Repeat("m", 1<<19))+frame(0x80, "m"), "close 1009", "FIN")
	add("fragments up to the limit", frame(0x02, strings.Repeat("m", 1<<19))+frame(0x80, strings.Repeat("m", 1<<19))+end, got{0x82, strings.Repeat("m", 1<<20)}.String(), bye, "FIN")

	// 5.3: masks.
	for _, key := range [][4]byte{{}, {0xff, 0xff, 0xff, 0xff}, {1, 2, 3, 4}, {0, 0, 0, 1}, {'m', 'm', 'm', 'm'}} {
		for _, n := range []int{1, 3, 4, 9, 40, 1001} {
			payload := strings.Repeat("m", n)
			add(fmt.Sprintf("mask %x, %d", key, n), frameWith(0x81, payload, key)+end, got{0x81, payload}.String(), bye, "FIN")
		}
	}
	for _, first := range []byte{0x81, 0x82, 0x88, 0x89, 0x8a, 0x01, 0x02} {
		add(fmt.Sprintf("no mask in %#x", first), string([]byte{first, 2})+"\x03\xe8", "close 1002", "FIN")
		add(fmt.Sprintf("no mask in %#x, empty", first), string([]byte{first, 0}), "close 1002", "FIN")
	}
	for _, first := range []byte{0x81, 0x82} {
		add(fmt.Sprintf("a mask of nothing in %#x", first), frame(first, "")+end, got{first, ""}.String(), bye, "FIN")
	}
	add("no mask in a ping between fragments", frame(0x01, "hel")+"\x89\x01p", "close 1002", "FIN")
	add("no mask, 16 bits", "\x82\x7e\x00\x7e"+strings.Repeat("m", 126), "close 1002", "FIN")
	add("no mask in the second frame", frame(0x81, "hello")+"\x81\x02hi", "text hello", "close 1002", "FIN")
	add("no mask in a continuation", frame(0x01, "hello")+"\x80\x02hi", "close 1002", "FIN")

	// 5.2: every first byte.
	for b := range 256 {
		rsv, op, fin := b&0x70 != 0, b&0x0f, b&0x80 != 0
		in, name := frame(byte(b), "hi"), fmt.Sprintf("first byte %#02x", b)
		switch {
		case rsv, op > 2 && op < 8, op > 10, op >= 8 && !fin, op == 0:
			add(name, in+end, "close 1002", "FIN")
		case op == 1 && fin:
			add(name, in+end, "text hi", bye, "FIN")
		case op == 2 && fin:
			add(name, in+end, "binary hi", bye, "FIN")
		case op == 1:
			add(name, in+frame(0x80, " there")+end, "text hi there", bye, "FIN")
		case op == 2:
			add(name, in+frame(0x80, " there")+end, "binary hi there", bye, "FIN")
		case op == 8: // 26729 is no code
			add(name, in, "close 1002", "FIN")
		case op == 9:
			add(name, in+end, "pong hi", bye, "FIN")
		case op == 10:
			add(name, in+end, bye, "FIN")
		}
	}
	for _, rsv := range []byte{0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70} {
		add(fmt.Sprintf("RSV %#x behind a message", rsv), frame(0x81, "hello")+frame(0x81|rsv, "hi")+frame(0x89, "ping"), "text hello", "close 1002", "FIN")
		add(fmt.Sprintf("RSV %#x in a continuation", rsv), frame(0x01, "hello")+frame(0x80|rsv, "hi"), "close 1002", "FIN")
		add(fmt.Sprintf("RSV %#x in a ping", rsv), frame(0x89|rsv, "hi"), "close 1002", "FIN")
		add(fmt.Sprintf("RSV %#x in a close", rsv), frame(0x88|rsv, "\x03\xe8"), "close 1002", "FIN")
	}

	// 5.4: fragments.
	for n := range 8 {
		in := frame(0x01, "<")
		for range n {
			in += frame(0x00, "-")
		}
		add(fmt.Sprintf("%d fragments between", n), in+frame(0x80, ">")+end, "text <"+strings.Repeat("-", n)+">", bye, "FIN")
	}
	add("empty fragments", frame(0x01, "")+frame(0x00, "")+frame(0x80, "")+end, "text", bye, "FIN")
	add("an empty fragment at the end", frame(0x02, "hi")+frame(0x80, "")+end, "binary hi", bye, "FIN")
	add("a ping between", frame(0x01, "hel")+frame(0x89, "?")+frame(0x80, "lo")+end, "pong ?", "text hello", bye, "FIN")
	add("pings between", frame(0x01, "hel")+frame(0x89, "1")+frame(0x00, "l")+frame(0x89, "2")+frame(0x80, "o")+end, "pong 1", "pong 2", "text hello", bye, "FIN")
	add("a pong between", frame(0x01, "hel")+frame(0x8a, "!")+frame(0x80, "lo")+end, "text hello", bye, "FIN")
	add("a close between", frame(0x01, "hel")+end+frame(0x80, "lo"), bye, "FIN")
	add("a message between", frame(0x01, "hel")+frame(0x81, "lo"), "close 1002", "FIN")
	add("a binary message between", frame(0x01, "hel")+frame(0x82, "lo"), "close 1002", "FIN")
	add("two beginnings", frame(0x01, "hel")+frame(0x01, "lo"), "close 1002", "FIN")
	add("a text, then a binary unfinished, then a close", frame(0x81, "a")+frame(0x02, "b")+end, "text a", bye, "FIN")
	add("a close that is wrong between", frame(0x01, "hel")+frame(0x88, "\x03"), "close 1002", "FIN")
	add("bad text behind an unfinished one, in a close", frame(0x01, "hel")+closeFrame(1000, "\xff"), "close 1007", "FIN")
	add("a continuation of nothing", frame(0x80, "hi"), "close 1002", "FIN")
	add("a continuation of nothing, unfinished", frame(0x00, "hi"), "close 1002", "FIN")
	add("a continuation behind a message", frame(0x01, "a")+frame(0x80, "b")+frame(0x80, "c"), "text ab", "close 1002", "FIN")
	add("a continuation behind a whole message", frame(0x81, "ab")+frame(0x80, "c"), "text ab", "close 1002", "FIN")
	add("a fragmented ping", frame(0x09, "hi")+frame(0x80, ""), "close 1002", "FIN")
	add("one message behind the other", frame(0x01, "a")+frame(0x80, "b")+frame(0x02, "c")+frame(0x80, "d")+end, "text ab", "binary cd", bye, "FIN")

	// 5.5: control frames.
	for _, n := range []int{0, 1, 2, 64, 124, 125} {
		payload := strings.Repeat("p", n)
		add(fmt.Sprintf("a ping of %d", n), frame(0x89, payload)+end, got{0x8a, payload}.String(), bye, "FIN")
		add(fmt.Sprintf("a pong of %d", n), frame(0x8a, payload)+end, bye, "FIN")
	}
	for _, n := range []int{126, 127, 128, 1000, 65536} {
		for _, first := range []byte{0x88, 0x89, 0x8a} {
			add(fmt.Sprintf("%#x of %d", first, n), frame(first, strings.Repeat("p", n)), "close 1002", "FIN")
		}
	}
	for _, first := range []byte{0x88, 0x89, 0x8a} {
		add(fmt.Sprintf("%#x of 2 in 16 bits", first), string([]byte{first, 0xfe, 0, 2})+"\x00\x00\x00\x00\x03\xe8", "close 1002", "FIN")
		add(fmt.Sprintf("%#x of 2 in 64 bits", first), string([]byte{first, 0xff, 0, 0, 0, 0, 0, 0, 0, 2})+"\x00\x00\x00\x00\x03\xe8", "close 1002", "FIN")
		add(fmt.Sprintf("%#x of 125, unfinished, within a message", first), frame(0x01, "hel")+frame(first&^0x80, strings.Repeat("p", 125)), "close 1002", "FIN")
	}
	add("binary in a ping", frame(0x89, "\x00\xff\xfe")+end, "pong \x00\xff\xfe", bye, "FIN")
	pings, pongs := "", []string{}
	for i := range 10 {
		pings += frame(0x89, fmt.Sprint(i))
		pongs = append(pongs, fmt.Sprintf("pong %d", i))
	}
	add("ten pings", pings+end, append(pongs, bye, "FIN")...)

	// 5.5.1 and 7.4: closes.
	add("a close without a code", frame(0x88, ""), "close", "FIN")
	add("half a code", frame(0x88, "\x03"), "close 1002", "FIN")
	for code := 0; code < 5100; code += 1 {
		step := code < 1000 && code%100 != 0 || code > 1020 && code < 2990 && code%50 != 0 || code > 3010 && code < 4990 && code%100 != 0
		if step && code != 999 && code != 2999 && code != 3999 {
			continue
		}
		want := "close 1002"
		if code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999 {
			want = fmt.Sprintf("close %d", code)
		}
		add(fmt.Sprintf("code %d", code), closeFrame(Status(code), ""), want, "FIN")
	}
	add("code 65535", closeFrame(65535, ""), "close 1002", "FIN")
	add("a reason", closeFrame(1000, "bye"), bye, "FIN")
	add("the longest reason", closeFrame(1000, strings.Repeat("r", 123)), bye, "FIN")
	add("a reason of Greek", closeFrame(1000, "κόσμε"), bye, "FIN")
	for _, bad := range badText {
		add(fmt.Sprintf("reason %x", bad), closeFrame(1000, bad), "close 1007", "FIN")
	}
	add("a reason that is cut within a character", closeFrame(1000, "κ"[:1]), "close 1007", "FIN")
	add("a message behind the close", end+frame(0x81, "hello"), bye, "FIN")
	add("a ping behind the close", end+frame(0x89, "hello"), bye, "FIN")
	add("two closes", end+closeFrame(3000, ""), bye, "FIN")
	add("nonsense behind the close", end+"\xff\xff\xff", bye, "FIN")
	add("messages before the close", frame(0x81, "a")+frame(0x81, "b")+end, "text a", "text b", bye, "FIN")

	// 8.1: text.
	for _, text := range goodText {
		add(fmt.Sprintf("text %x", text), frame(0x81, text)+end, got{0x81, text}.String(), bye, "FIN")
		for i := range len(text) + 1 {
			add(fmt.Sprintf("text %x split at %d", text, i), frame(0x01, text[:i])+frame(0x80, text[i:])+end, got{0x81, text}.String(), bye, "FIN")
		}
		in := frame(0x01, "")
		for i := range len(text) {
			in += frame(0x00, text[i:i+1])
		}
		add(fmt.Sprintf("text %x in bytes", text), in+frame(0x80, "")+end, got{0x81, text}.String(), bye, "FIN")
		add(fmt.Sprintf("text %x and a ping", text), frame(0x01, text[:1])+frame(0x89, "\xff")+frame(0x80, text[1:])+end, "pong \xff", got{0x81, text}.String(), bye, "FIN")
		if _, size := utf8.DecodeLastRuneInString(text); size > 1 {
			add(fmt.Sprintf("text %x cut", text), frame(0x81, text[:len(text)-1]), "close 1007", "FIN")
			add(fmt.Sprintf("text %x cut in fragments", text), frame(0x01, text[:len(text)-1])+frame(0x80, ""), "close 1007", "FIN")
		}
	}
	for _, bad := range badText {
		add(fmt.Sprintf("bad text %x", bad), frame(0x81, bad), "close 1007", "FIN")
		add(fmt.Sprintf("bad text %x behind good", bad), frame(0x81, "κόσμε"+bad), "close 1007", "FIN")
		add(fmt.Sprintf("bad text %x before good", bad), frame(0x81, bad+"edited"), "close 1007", "FIN")
		add(fmt.Sprintf("bad text %x in binary", bad), frame(0x82, bad)+end, "binary "+bad, bye, "FIN")
		// Fail fast: the message goes on.
		add(fmt.Sprintf("bad text %x in a fragment", bad), frame(0x01, "κόσμε")+frame(0x00, bad), "close 1007", "FIN")
		for i := 1; i < len(bad); i++ {
			add(fmt.Sprintf("bad text %x split at %d", bad, i), frame(0x01, bad[:i])+frame(0x00, bad[i:]), "close 1007", "FIN")
		}
	}
	return all
}

var goodText = []string{"hello", "κόσμε", "é", "\u07ff", "\u0800", "€", "\ud7ff", "\ue000", "\ufffd", "\uffff", "\U00010000", "😀", "\U0010ffff", "\ufeffx", "\x00", "\x7f"}

// badText is not UTF-8 whatever follows (RFC 3629).
var badText = []string{
	"\x80", "\xbf", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xc2A", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe1\x80A", "\xed\xa0\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbf\xbf",
	"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf1\x80\x80A", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff",
}

// Each case is answered alike, whatever pieces it comes in, whether handlers run on the loop or on workers.
func TestStrict(t *testing.T) {
	cases := strictCases()
	for _, onLoop := range []bool{true, false} {
		t.Run(fmt.Sprintf("on the loop: %v", onLoop), func(t *testing.T) {
			s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop}), onLoop)
			work := make(chan strictCase)
			done := make(chan struct{})
			const clients = 8
			for range clients {
				go func() {
					defer func() { done <- struct{}{} }()
					for tt := range work {
						for _, pieces := range []int{len(tt.in), 1, 7} {
							if pieces < 10 && (len(tt.in) > 3000 || !onLoop && testing.Short()) {
								continue
							}
							got, err := s.exchange(tt.in, pieces)
							if err != nil || !slices.Equal(got, tt.want) {
								t.Errorf("%s, in pieces of %d: got %.80q, %v, want %.80q", tt.name, pieces, got, err, tt.want)
							}
						}
					}
				}()
			}
			for _, tt := range cases {
				work <- tt
			}
			close(work)
			for range clients {
				<-done
			}
		})
	}
	t.Logf("%d cases", len(cases))
}

// exchange sends in behind a handshake, and returns what comes back.
func (s *served) exchange(in string, pieces int, fields ...string) (all []string, err error) {
	t := &quietly{}
	c := s.dial(t)
	defer t.cleanUp()
	_ = c.SetNoDelay(true)
	if _, err := io.WriteString(c, goodHandshake+strings.Join(fields, "")+"\r\n"); err != nil {
		return nil, err
	}
	res := c.answer()
	if res.StatusCode != 101 {
		return nil, fmt.Errorf("the answer to the handshake is %s", res.Status)
	}
	go func() {
		for in := in; len(in) > 0; {
			n := min(pieces, len(in))
			if _, err := io.WriteString(c, in[:n]); err != nil {
				return // the server has seen enough
			}
			in = in[n:]
		}
	}()
	return c.all(), nil
}

// quietly is for a client in a goroutine that is no test's.
type quietly struct {
	testing.TB
	cleanups []func()
}

func (q *quietly) Helper()                   {}
func (q *quietly) Cleanup(f func())          { q.cleanups = append(q.cleanups, f) }
func (q *quietly) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (q *quietly) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }
func (q *quietly) cleanUp() {
	for _, f := range q.cleanups {
		f()
	}
}
