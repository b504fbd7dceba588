package httpcodec_test

import (
	"testing"

	"rstserver/httpcodec"
)

// Limits.LaxTarget lets in what browsers send, and nothing that could end the target.
func TestLaxTarget(t *testing.T) {
	tests := []struct {
		target string
		path   string // empty: refused with it too
		query  string
	}{
		{"/?a[]=1|2", "/", "a[]=1|2"},
		{"/a[0]|b/{c}?d", "/a[0]|b/{c}", "d"},
		{"/\"<>\\^`?\"<>\\^`", "/\"<>\\^`", "\"<>\\^`"},
		{"/?q=100%", "/", "q=100%"},
		{"/%zz", "/%zz", ""},
		{"/caf\xc3\xa9", "/caf\xc3\xa9", ""},
		{"http://example.org/?a[]=1", "/", "a[]=1"},
		{"/a#b", "", ""},
		{"/a b", "", ""},
		{"/a\tb", "", ""},
		{"/a\x7f", "", ""},
		{"/a\x00", "", ""},
		{"/a\rb", "", ""},
		{"http://exa[mple.org/", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			head := []byte("GET " + tt.target + " HTTP/1.1\r\nHost: example.org\r\n\r\n")
			var req httpcodec.Request
			if _, err := new(httpcodec.Parser).Parse(head, httpcodec.Limits{}, &req); err == nil {
				t.Errorf("Parse(%q) = nil without LaxTarget", head)
			}
			n, err := new(httpcodec.Parser).Parse(head, httpcodec.Limits{LaxTarget: true}, &req)
			if refused := err != nil; refused != (tt.path == "") {
				t.Fatalf("Parse(%q) = %d, %v", head, n, err)
			}
			if err == nil && (string(req.Path) != tt.path || string(req.Query) != tt.query) {
				t.Errorf("Parse(%q) has path %q and query %q, want %q and %q", head, req.Path, req.Query, tt.path, tt.query)
			}
		})
	}
}
