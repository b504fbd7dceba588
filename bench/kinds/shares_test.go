package kinds

import (
	"reflect"
	"testing"

	"rstserver/internal/lingertest"
)

func TestParseShares(t *testing.T) {
	tests := []struct {
		in   string
		want Shares
		text string
	}{
		{"idle", Shares{{Idle, 1}}, "idle"},
		{"idle=7", Shares{{Idle, 7}}, "idle"},
		{"idle=80,in-flight=20", Shares{{Idle, 80}, {InFlight, 20}}, "80 % idle, 20 % in-flight"},
		{" fresh=1, half=2 ", Shares{{Fresh, 1}, {Half, 2}}, "33.3 % fresh, 66.7 % half"},
		{"idle=1,full=1000000", Shares{{Idle, 1}, {Full, 1_000_000}}, "0.0001 % idle, 100 % full"},
	}
	for _, tt := range tests {
		got, err := ParseShares(tt.in)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseShares(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
		}
		if text := got.String(); text != tt.text {
			t.Errorf("%q is called %q, want %q", tt.in, text, tt.text)
		}
	}
	for in, want := range map[string]string{
		"":                  "is no kind of connection: idle, fresh",
		"idel":              `"idel" is no kind of connection`,
		"idle,fresh":        "idle,fresh: each kind of a mix has a share: idle=80,in-flight=20",
		"idle=1,fresh":      "each kind of a mix has a share",
		"idle=0":            "idle=0: a share is a number from 1 to 1000000",
		"idle=-1":           "idle=-1",
		"idle=half":         "idle=half",
		"idle=1000001":      "idle=1000001",
		"idle=1,idle=2":     "idle is there twice",
		"idle=1,,fresh=1":   `"" is no kind`,
		"idle=1,fresh=1.5%": "fresh=1.5%",
	} {
		got, err := ParseShares(in)
		if got != nil {
			t.Errorf("ParseShares(%q) = %v", in, got)
		}
		lingertest.ExpectError(t, err, want)
	}
}
