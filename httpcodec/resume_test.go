package httpcodec_test

import (
	"bytes"
	"testing"

	"rstserver/httpcodec"
)

// TestParseDoesNotRescan overwrites what Parse has examined, with bytes that would end a line or be refused if they were
// read again, before it calls Parse with one byte more. It reads a whole line again only when the line's last byte comes,
// to check it, and the whole head again only when its last byte comes, to fill in the Request: then those bytes are put
// back. So each byte is read three times at most, however the head is cut.
func TestParseDoesNotRescan(t *testing.T) {
	for _, tt := range goodHeads {
		t.Run(tt.name, func(t *testing.T) {
			for _, poison := range []byte{'\n', '\r', 0} {
				testNoRescan(t, tt.in, poison)
			}
		})
	}
}

func testNoRescan(t *testing.T, in string, poison byte) {
	t.Helper()
	var p httpcodec.Parser
	var req httpcodec.Request
	for end := 1; end <= len(in); end++ {
		buf := []byte(in[:end])
		keep := p.Scanned() // first byte that has to be read
		if buf[end-1] == '\n' {
			keep = p.CheckedLines()
		}
		if end == len(in) {
			keep = 0
		}
		// A CR that came alone is looked at again to see what follows it.
		if keep == 1 {
			keep = 0
		}
		copy(buf[:keep], bytes.Repeat([]byte{poison}, keep))
		n, err := p.Parse(buf, httpcodec.Limits{}, &req)
		if err != nil || n != 0 && end < len(in) || end == len(in) && n != end {
			t.Fatalf("Parse(%q) with %q in place of the first %d bytes = %d, %v", in[:end], poison, keep, n, err)
		}
		if end < len(in) && p.Scanned() != end {
			t.Fatalf("Parse(%q) scanned %d bytes, want %d", in[:end], p.Scanned(), end)
		}
	}
}

// TestParseShrunk: a buffer that got shorter is not the one that was examined, so Parse begins again.
func TestParseShrunk(t *testing.T) {
	var p httpcodec.Parser
	var req httpcodec.Request
	if n, err := p.Parse([]byte("GET /long/enough/to/be/longer HTTP/1.1\r\nHost: a\r\nAccept"), httpcodec.Limits{}, &req); n != 0 || err != nil {
		t.Fatalf("Parse = %d, %v, want 0, nil", n, err)
	}
	in := "GET / HTTP/1.1\r\nHost: b\r\n\r\n"
	if n, err := p.Parse([]byte(in), httpcodec.Limits{}, &req); n != len(in) || err != nil || string(req.Host) != "b" {
		t.Errorf("Parse(%q) = %d, %v, Host %q, want %d, nil, b", in, n, err, req.Host, len(in))
	}
}
