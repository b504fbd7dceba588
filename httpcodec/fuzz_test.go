package httpcodec_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rstserver/httpcodec"
)

// FuzzParse: consumed is at most what was given, the outcome does not depend on how the bytes are cut, and what is accepted
// means the same to net/http.
func FuzzParse(f *testing.F) {
	for _, tt := range goodHeads {
		f.Add([]byte(tt.in), uint8(7), uint16(0), uint8(0))
	}
	for _, tt := range badHeads {
		f.Add([]byte(tt.in), uint8(1), uint16(64), uint8(3))
	}
	f.Add([]byte(browserRequest+wrkRequest), uint8(100), uint16(0), uint8(0))
	f.Add([]byte(postRequest+"hello"), uint8(13), uint16(0), uint8(0))
	f.Add([]byte("CONNECT a%e5b:80 HTTP/1.1\r\nHost: a\r\n\r\n"), uint8(0), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, step uint8, headerBytes uint16, fields uint8) {
		lim := httpcodec.Limits{HeaderBytes: int(headerBytes), Fields: int(fields)}
		s := string(in)
		whole := parsePieces(s, lim)
		if whole.N < 0 || whole.N > len(s) || whole.N > 0 && whole.Err != nil {
			t.Fatalf("Parse(%q) = %d, %v", s, whole.N, whole.Err)
		}
		var cuts []int
		for cut := int(step); cut < len(s) && step > 0; cut += int(step) {
			cuts = append(cuts, cut)
		}
		if pieces := parsePieces(s, lim, cuts...); !sameOutcome(pieces, whole) {
			t.Fatalf("Parse(%q) in pieces of %d differs (-whole +pieces):\n%s", s, step, cmp.Diff(whole, pieces, byIdentity))
		}
		if whole.Err != nil {
			if statusOf(whole.Err) < 400 {
				t.Fatalf("Parse(%q) = %v, which has no status", s, whole.Err)
			}
			return
		}
		if whole.N == 0 {
			return
		}
		if again := parsePieces(s[:whole.N], lim); !sameOutcome(again, whole) {
			t.Fatalf("Parse(%q) without what follows differs (-with +without):\n%s", s, cmp.Diff(whole, again, byIdentity))
		}
		compareWithNetHTTP(t, s, whole)
	})
}

// compareWithNetHTTP fails when net/http does not understand a head as we do. It is stricter than the RFCs, and so
// refuses what we accept, in these cases:
//
//   - an empty line before the request line;
//   - a host with pct-encoded octets, IPvFuture, or characters that net/url does not know in one (absolute-form and
//     authority-form, which it parses as a URL);
//   - an authority-form target that net/url does not take for a host and port;
//   - a Trailer field that announces a framing field, with chunked.
func compareWithNetHTTP(t *testing.T, in string, got outcome) {
	t.Helper()
	headBytes := strings.TrimPrefix(in[:got.N], "\r\n")
	br := bufio.NewReaderSize(strings.NewReader(headBytes), max(16, len(headBytes)))
	req, err := http.ReadRequest(br)
	h := got.Head
	if err != nil {
		if h.Form == httpcodec.AbsoluteForm || h.Form == httpcodec.AuthorityForm {
			target := h.Target
			if h.Form == httpcodec.AuthorityForm {
				target = "http://" + target
			}
			if _, urlErr := url.ParseRequestURI(target); urlErr != nil {
				return
			}
		}
		if h.Chunked && strings.Contains(err.Error(), "bad trailer key") {
			return
		}
		t.Fatalf("Parse(%q) accepts what net/http refuses: %v", in, err)
	}
	if br.Buffered() > 0 {
		t.Fatalf("Parse(%q) consumed %d bytes, net/http left %d of them", in, got.N, br.Buffered())
	}
	chunked := len(req.TransferEncoding) == 1 && req.TransferEncoding[0] == "chunked"
	wantLength := max(h.Length, 0)
	if h.Chunked {
		wantLength = -1
	}
	if req.Method != h.Method || req.RequestURI != h.Target || req.ContentLength != wantLength || chunked != h.Chunked {
		t.Fatalf("Parse(%q) = %+v, net/http has %s %s, length %d, %v", in, h, req.Method, req.RequestURI, req.ContentLength, req.TransferEncoding)
	}
	host := h.Host
	if h.Form == httpcodec.AbsoluteForm || h.Form == httpcodec.AuthorityForm { // where net/url decodes it
		host, err = url.PathUnescape(host)
	}
	if h.Form != httpcodec.AsteriskForm && (err != nil || host != req.Host) {
		t.Fatalf("Parse(%q) has Host %q, net/http %q", in, h.Host, req.Host)
	}
	if h.Form == httpcodec.OriginForm && (req.URL.EscapedPath() != h.Path || req.URL.RawQuery != h.Query) {
		t.Fatalf("Parse(%q) has path %q and query %q, net/http %q and %q", in, h.Path, h.Query, req.URL.EscapedPath(), req.URL.RawQuery)
	}
	// What follows a malformed Connection field we close, which net/http does not look at.
	if h.KeepAlive == req.Close && h.KeepAlive {
		t.Fatalf("Parse(%q) has KeepAlive, net/http closes", in)
	}
	for _, f := range h.Fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		switch name {
		case "Host", "Transfer-Encoding", "Trailer":
			continue // taken out of the Header
		}
		if !slices.Contains(req.Header[name], f.Value) {
			t.Fatalf("Parse(%q) has %s: %q, net/http %q", in, f.Name, f.Value, req.Header[name])
		}
	}
}

var bwsAfterSize = regexp.MustCompile("[0-9a-fA-F][ \t]+;")

// FuzzBody: the outcome does not depend on how the bytes are cut, and content that is accepted is the same to net/http,
// and ends in the same place. A negative length means chunked.
func FuzzBody(f *testing.F) {
	for _, tt := range goodBodies {
		length := int16(tt.req.ContentLength)
		if !tt.req.Chunked {
			length = max(length, 0)
		}
		f.Add([]byte(tt.in+"GET"), length, uint8(3), int16(0))
	}
	for _, tt := range badBodies {
		f.Add([]byte(tt.in), int16(-1), uint8(1), int16(5))
	}
	f.Fuzz(func(t *testing.T, in []byte, length int16, step uint8, limit int16) {
		req := httpcodec.Request{ContentLength: int64(max(length, -1)), Chunked: length < 0}
		s := string(in)
		whole := decodePieces(t, req, int64(limit), s)
		if limit > 0 && len(whole.Data) > int(limit) {
			t.Fatalf("Next(%q) with max %d has %d bytes of content", s, limit, len(whole.Data))
		}
		var cuts []int
		for cut := int(step); cut < len(s) && step > 0; cut += int(step) {
			cuts = append(cuts, cut)
		}
		if pieces := decodePieces(t, req, int64(limit), s, cuts...); !cmp.Equal(pieces, whole, byIdentity) {
			t.Fatalf("Next(%q) in pieces of %d differs (-whole +pieces):\n%s", s, step, cmp.Diff(whole, pieces, byIdentity))
		}
		if !whole.Done {
			return
		}
		head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		if length >= 0 {
			head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(int(length)) + "\r\n\r\n"
		}
		br := bufio.NewReaderSize(strings.NewReader(head+s), len(head)+len(s))
		netReq, err := http.ReadRequest(br)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(netReq.Body)
		if err != nil {
			// Where net/http is stricter than the RFC: it bounds a chunk-size line at 4 KiB, where we bound overhead as
			// a whole, and takes no whitespace between chunk-size and ";".
			if errors.Is(err, http.ErrLineTooLong) || bwsAfterSize.MatchString(s) && strings.Contains(err.Error(), "invalid byte in chunk length") {
				return
			}
			t.Fatalf("Next(%q) accepts what net/http refuses: %v", s, err)
		}
		if rest, _ := io.ReadAll(br); string(content) != whole.Data || string(rest) != s[whole.N:] {
			t.Fatalf("Next(%q) = %q and leaves %q, net/http %q and %q", s, whole.Data, s[whole.N:], content, rest)
		}
		for _, f := range whole.Trailers {
			if !slices.Contains(netReq.Trailer[textproto.CanonicalMIMEHeaderKey(f.Name)], f.Value) {
				t.Fatalf("Next(%q) has trailer %v, net/http %v", s, f, netReq.Trailer)
			}
		}
	})
}

// FuzzResponse: net/http reads back what AppendHead writes, whatever it is asked to write.
func FuzzResponse(f *testing.F) {
	f.Add(200, "", int8(1), false, true, int64(5), "text/plain", "A", "b", "Connection", "close")
	f.Add(101, "x", int8(1), false, true, int64(-1), "", "Connection", "upgrade, close", "Upgrade", "websocket")
	f.Add(304, "a\r\nb", int8(0), true, false, int64(0), "a\n", "A:", "\r\n", "Content-Length", "5")
	f.Add(404, "\xe4", int8(0), true, true, int64(-1), "", "Date", " ", "connection", "keep-alive,x , ,y")
	f.Fuzz(func(t *testing.T, status int, reason string, minor int8, isHead, keep bool, length int64, contentType, name1, value1, name2, value2 string) {
		r := httpcodec.Response{Status: status, Reason: reason, MinorVersion: int(minor & 1), Head: isHead, KeepAlive: keep,
			ContentLength: length, ContentType: contentType, Date: []byte("Sun, 06 Nov 1994 08:49:37 GMT"),
			Fields: []field{{Name: name1, Value: value1}, {Name: name2, Value: value2}}}
		out, framing, err := r.AppendHead(nil)
		if err != nil {
			if len(out) > 0 {
				t.Fatalf("AppendHead(%+v) = %q beside %v", r, out, err)
			}
			return
		}
		if bytes.Count(out, []byte("\r\n\r\n")) != 1 || !bytes.HasSuffix(out, []byte("\r\n\r\n")) ||
			bytes.Count(out, []byte("\n")) != bytes.Count(out, []byte("\r\n")) || bytes.Count(out, []byte("\r")) != bytes.Count(out, []byte("\n")) {
			t.Fatalf("AppendHead(%+v) = %q, want one empty line, at its end, and no bare CR or LF", r, out)
		}
		method := "GET"
		if isHead {
			method = "HEAD"
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), &http.Request{Method: method})
		if err != nil {
			// A Trailer field that announces a framing field is refused there, and is the caller's business here.
			if strings.Contains(err.Error(), "bad trailer key") {
				return
			}
			t.Fatalf("ReadResponse(%q) = %v", out, err)
		}
		if resp.StatusCode != status || resp.ProtoMinor != r.MinorVersion {
			t.Fatalf("ReadResponse(%q) = %v, want %d", out, resp, status)
		}
		chunked := len(resp.TransferEncoding) > 0
		switch framing.Kind {
		case httpcodec.Length:
			if chunked || resp.ContentLength != length {
				t.Fatalf("ReadResponse(%q) has length %d, want %d", out, resp.ContentLength, length)
			}
		case httpcodec.Chunked:
			if !chunked {
				t.Fatalf("ReadResponse(%q) is not chunked", out)
			}
		case httpcodec.UntilClose:
			if chunked || resp.ContentLength != -1 || framing.KeepAlive || !resp.Close {
				t.Fatalf("ReadResponse(%q) = %+v, want content until close", out, resp)
			}
		case httpcodec.NoContent:
			if content, err := io.ReadAll(resp.Body); len(content) > 0 || err != nil {
				t.Fatalf("ReadResponse(%q) has content %q, %v", out, content, err)
			}
		}
		if status >= 200 && resp.Close == framing.KeepAlive {
			t.Fatalf("ReadResponse(%q) has Close %v, want %v", out, resp.Close, !framing.KeepAlive)
		}
		for _, f := range r.Fields {
			name := textproto.CanonicalMIMEHeaderKey(f.Name)
			if name == "Connection" || name == "Trailer" {
				continue
			}
			if !slices.Contains(resp.Header[name], strings.Trim(f.Value, " \t")) {
				t.Fatalf("ReadResponse(%q) has %s %q, want %q", out, name, resp.Header[name], f.Value)
			}
		}
	})
}
