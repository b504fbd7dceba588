//go:build linux

package bench

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

// A mix has n connections in all, and of each kind its share, to less than one.
func TestSharesOf(t *testing.T) {
	all := Shares{{Idle, 80}, {InFlight, 20}}
	many := Shares{}
	for i, k := range Kinds() {
		many = append(many, Share{k, 1 + i*i*1000})
	}
	for _, s := range []Shares{{{Idle, 3}}, all, many, {{Idle, maxWeight}, {Full, 1}, {Half, maxWeight}}} {
		total := Mix(s).Total()
		for _, n := range []int{0, 1, 2, 3, 7, 10, 99, 100, 101, 12_345, 1_000_000} {
			mix := s.Of(n)
			if mix.Total() != n {
				t.Errorf("%s of %d: %d in all", s, n, mix.Total())
			}
			got := make(map[Kind]int)
			for _, share := range mix {
				if share.N < 1 {
					t.Errorf("%s of %d: %s", s, n, mix)
				}
				got[share.Kind] += share.N
			}
			for _, share := range s {
				if diff := got[share.Kind]*total - share.N*n; diff <= -total || diff >= total {
					t.Errorf("%s of %d: %d %s", s, n, got[share.Kind], share.Kind)
				}
			}
		}
	}
	if got := all.Of(10).String(); got != "8 idle, 2 in-flight" {
		t.Errorf("10 of %s: %s", all, got)
	}
	if text := (Shares{{Idle, 80}, {InFlight, 20}}).String(); text != "80 % idle, 20 % in-flight" {
		t.Errorf("Of changes its shares: %s", text)
	}
}

// The kinds of a mix are opened in turn, as their shares are, and in numbers that are as asked for.
func TestOrder(t *testing.T) {
	mix := Mix{{Idle, 60}, {Fresh, 30}, {Half, 10}}
	counts := make(map[Kind]int)
	for i, kind := range mix.order() {
		counts[kind]++
		for _, s := range mix {
			if diff := counts[s.Kind]*mix.Total() - s.N*(i+1); diff < -mix.Total() || diff > mix.Total() {
				t.Fatalf("%d of the first %d are %s", counts[s.Kind], i+1, s.Kind)
			}
		}
	}
	for _, s := range mix {
		if counts[s.Kind] != s.N {
			t.Errorf("%d %s, want %d", counts[s.Kind], s.Kind, s.N)
		}
	}
}
