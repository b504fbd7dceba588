package websocket

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"

	"rstserver/poller/internal/onloop"
)

// deflate is what was agreed on for a connection whose messages may be compressed (RFC 7692, section 7). Without context takeover it is the same
// for all that have agreed on the same.
type deflate struct {
	window int // bits of the server's, 8 to 15

	in  *history      // of the client's messages; nil: each begins anew. Owned by the loop.
	mu  sync.Mutex    // guards out, and that messages are sent in the order in which they are compressed
	out *flate.Writer // nil: each of the server's messages begins anew
	buf bytes.Buffer  // that out writes to
}

// agreed are those without context takeover, by window.
var agreed = func() (all [16]*deflate) {
	for i := range all {
		all[i] = &deflate{window: i}
	}
	return all
}()

const maxWindow = 15

// chooseExtension takes the first offer of permessage-deflate that can be met, and returns the extension as it is answered.
func (o *opening) chooseExtension(wanted Compression) (string, *refusal) {
	offers, ok := parseExtensions(o.values("Sec-Websocket-Extensions"))
	if !ok {
		return "", badRequest("malformed Sec-WebSocket-Extensions field")
	}
	if wanted == NoCompression {
		return "", nil
	}
	for _, offer := range offers {
		if offer.name != "permessage-deflate" {
			continue
		}
		if d, answer, ok := offer.agree(wanted); ok {
			o.deflate = d
			return answer, nil
		}
	}
	return "", nil
}

// agree is what an offer comes to. One with a parameter that is unknown, twice, or out of range is passed over (section 7.1).
func (e extension) agree(wanted Compression) (d *deflate, answer string, ok bool) {
	window, serverAlone, clientAlone := maxWindow, wanted != WithContext, wanted != WithContext
	windowAsked := false
	seen := make(map[string]bool)
	for _, p := range e.params {
		if seen[p.name] {
			return nil, "", false
		}
		seen[p.name] = true
		switch p.name {
		case "server_no_context_takeover":
			if p.hasValue {
				return nil, "", false
			}
			serverAlone = true
		case "client_no_context_takeover":
			if p.hasValue {
				return nil, "", false
			}
			clientAlone = true
		case "server_max_window_bits":
			n, valid := windowBits(p.value)
			if !valid {
				return nil, "", false
			}
			window, windowAsked = n, true
		case "client_max_window_bits":
			// Any window of the client's can be read.
			if _, valid := windowBits(p.value); p.hasValue && !valid {
				return nil, "", false
			}
		default:
			return nil, "", false
		}
	}
	answer = e.name
	if serverAlone {
		answer += "; server_no_context_takeover"
	}
	if clientAlone {
		answer += "; client_no_context_takeover"
	}
	if windowAsked {
		answer += "; server_max_window_bits=" + strconv.Itoa(window)
	}
	if serverAlone && clientAlone {
		return agreed[window], answer, true
	}
	d = &deflate{window: window}
	if !clientAlone {
		d.in = new(history)
	}
	if !serverAlone {
		d.out = newWriter(&d.buf, window)
	}
	return d, answer, true
}

// windowBits reads 8 to 15, without leading zeros.
func windowBits(s string) (n int, ok bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && 8 <= n && n <= maxWindow && strconv.Itoa(n) == s
}

// history is what messages may refer to: the end of those before.
type history struct{ plain []byte }

func (h *history) add(b []byte) {
	const size = 1 << maxWindow
	if len(b) >= size {
		h.plain = append(h.plain[:0], b[len(b)-size:]...)
		return
	}
	if over := len(h.plain) + len(b) - size; over > 0 {
		h.plain = h.plain[:copy(h.plain, h.plain[over:])]
	}
	h.plain = append(h.plain, b...)
}

// compressor is what compresses messages, each for itself.
type compressor struct {
	w   *flate.Writer
	buf bytes.Buffer
}

// compressors are those for each window.
var compressors [maxWindow + 1]sync.Pool

// newWriter returns what compresses with a window of so many bits.
func newWriter(to io.Writer, window int) (w *flate.Writer) {
	// Neither fails for what is given here.
	if window == maxWindow {
		w, _ = flate.NewWriter(to, flate.BestSpeed)
	} else {
		w, _ = flate.NewWriterWindow(to, 1<<window)
	}
	return w
}

// flushed is what a flush ends with, and a message leaves out (RFC 7692, section 7.2.1).
const flushed = "\x00\x00\xff\xff"

// compress writes a message to w, which writes to buf, and returns it as it is sent.
func compress(w *flate.Writer, buf *bytes.Buffer, data []byte) []byte {
	_, _ = w.Write(data)
	_ = w.Flush()
	return bytes.TrimSuffix(buf.Bytes(), []byte(flushed))
}

// send compresses and sends a message.
func (d *deflate) send(c *Conn, t Type, data []byte) error {
	if d.out != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		// What is compressed has to be sent, since what follows refers to it.
		if c.conn.Queued() >= c.options.maxQueued() {
			return onloop.ErrFull
		}
		d.buf.Reset()
		return c.sendFrame(byte(t), true, compress(d.out, &d.buf, data), 0)
	}
	z, payload := d.alone(data)
	defer compressors[d.window].Put(z)
	return c.sendFrame(byte(t), true, payload, c.options.maxQueued())
}

// alone compresses a message for itself. The payload is valid until z is given back.
func (d *deflate) alone(data []byte) (z *compressor, payload []byte) {
	z, _ = compressors[d.window].Get().(*compressor)
	if z == nil {
		z = new(compressor)
		z.w = newWriter(&z.buf, d.window)
	} else {
		z.buf.Reset()
		z.w.Reset(&z.buf)
	}
	return z, compress(z.w, &z.buf, data)
}

// inflaters are what decompresses.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(strings.NewReader("")) }}

// inflate returns what was compressed, if that is not more than limit.
func (d *deflate) inflate(payload []byte, limit int64) ([]byte, *failure) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	var dict []byte
	if d.in != nil {
		dict = d.in.plain
	}
	// Behind what the message leaves out a last block, so that the end is one.
	in := io.MultiReader(bytes.NewReader(payload), strings.NewReader(flushed+"\x01\x00\x00\xff\xff"))
	if r.(flate.Resetter).Reset(in, dict) != nil {
		return nil, notDeflate
	}
	plain := make([]byte, 0, min(limit, int64(4*len(payload)+64)))
	for {
		if int64(len(plain)) > limit {
			return nil, tooBig
		}
		if len(plain) == cap(plain) {
			plain = append(plain, 0)[:len(plain)]
		}
		n, err := r.Read(plain[len(plain):min(int64(cap(plain)), limit+1)])
		plain = plain[:len(plain)+n]
		switch {
		case err == io.EOF && int64(len(plain)) <= limit:
			if d.in != nil {
				d.in.add(plain)
			}
			return plain, nil
		case err != nil && err != io.EOF:
			return nil, notDeflate
		}
	}
}

var notDeflate = &failure{InvalidData, "message that cannot be decompressed"}

// extension is one of those that a client offers.
type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	hasValue    bool
}

// parseExtensions reads Sec-WebSocket-Extensions (RFC 6455, section 9.1).
func parseExtensions(lines []string) (all []extension, ok bool) {
	for _, line := range lines {
		elements, ok := split(line, ',')
		if !ok {
			return nil, false
		}
		for _, element := range elements {
			parts, ok := split(element, ';')
			if !ok {
				return nil, false
			}
			var e extension
			for i, part := range parts {
				part = strings.Trim(part, " \t")
				if i == 0 {
					if e.name = part; part == "" && len(parts) == 1 {
						continue // of an empty element
					}
					if !isToken(part) {
						return nil, false
					}
					continue
				}
				p, ok := parseParam(part)
				if !ok {
					return nil, false
				}
				e.params = append(e.params, p)
			}
			if e.name != "" {
				all = append(all, e)
			}
		}
	}
	return all, len(lines) == 0 || len(all) > 0
}

// parseParam reads name[=value], where the value can be quoted, but is a token all the same.
func parseParam(s string) (p param, ok bool) {
	p.name, p.value, p.hasValue = strings.Cut(s, "=")
	p.name = strings.Trim(p.name, " \t")
	if !isToken(p.name) {
		return p, false
	}
	if !p.hasValue {
		return p, true
	}
	p.value = strings.Trim(p.value, " \t")
	if len(p.value) >= 2 && p.value[0] == '"' && p.value[len(p.value)-1] == '"' {
		p.value = strings.ReplaceAll(p.value[1:len(p.value)-1], "\\", "")
	}
	return p, isToken(p.value)
}

// split is strings.Split, but for what is quoted. It reports whether all quotes have an end.
func split(s string, by byte) (parts []string, ok bool) {
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == by && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:]), !quoted
}
