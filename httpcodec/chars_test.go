package httpcodec_test

import (
	"bytes"
	"testing"

	"rstserver/httpcodec"
)

// TestIsText tries every octet at every place of texts that span no, one and more words of eight bytes, among octets
// on either side of each limit.
func TestIsText(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 15, 16, 17, 24} {
		for _, around := range []byte{' ', '\t', '~', 0x80, 0x9f, 0xff} {
			text := bytes.Repeat([]byte{around}, size)
			if !httpcodec.IsText(text) {
				t.Errorf("isText(%q) = false, want true", text)
			}
			for i := range text {
				for c := range 256 {
					text[i] = byte(c)
					want := c == '\t' || c >= 0x20 && c != 0x7f
					if got := httpcodec.IsText(text); got != want {
						t.Errorf("isText(%q) = %v, want %v", text, got, want)
					}
				}
				text[i] = around
			}
		}
	}
}
