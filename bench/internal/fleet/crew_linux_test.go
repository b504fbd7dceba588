//go:build linux

package fleet

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

// A process of clients says what it was told wrong, and nothing when it was told nothing.
func TestServe(t *testing.T) {
	tests := []struct {
		name, in, answer, err string
	}{
		{name: "nothing"},
		{name: "no JSON", in: "open sesame", err: "is started by the benchmark"},
		{name: "no order", in: `{"stop":true}`, err: "is started by the benchmark"},
		{name: "no path", in: `{"open":{"target":{"addr":"127.0.0.1:1","paths":{"get":""}},"mix":[{"Kind":"idle","N":1}],"to":1}}`, answer: "it has no path for idle connections"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Serve(strings.NewReader(tt.in), &out)
			if tt.err == "" && err != nil {
				t.Error(err)
			} else if tt.err != "" {
				lingertest.ExpectError(t, err, tt.err)
			}
			var a answer
			if out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &a); err != nil {
					t.Fatal(err)
				}
			}
			if tt.answer == "" && out.Len() > 0 || !strings.Contains(a.Err, tt.answer) {
				t.Errorf("answered %q, want %q", out.String(), tt.answer)
			}
		})
	}
}
