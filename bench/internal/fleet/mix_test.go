package fleet

import (
	"fmt"
	"testing"

	"rstserver/bench/kinds"
)

func shares(t testing.TB, s string) kinds.Shares {
	t.Helper()
	parsed, err := kinds.ParseShares(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// A mix has n connections in all, and of each kind its share, to less than one.
func TestOf(t *testing.T) {
	all := shares(t, "idle=80,in-flight=20")
	many := kinds.Shares{}
	for i, k := range kinds.All() {
		many = append(many, kinds.Share{Kind: k, N: 1 + i*i*1000})
	}
	for _, s := range []kinds.Shares{shares(t, "idle=3"), all, many, shares(t, fmt.Sprintf("idle=%d,full=1,half=%[1]d", kinds.MaxWeight))} {
		total := s.Total()
		for _, n := range []int{0, 1, 2, 3, 7, 10, 99, 100, 101, 12_345, 1_000_000} {
			mix := Of(s, n)
			if mix.Total() != n {
				t.Errorf("%s of %d: %d in all", s, n, mix.Total())
			}
			got := make(map[kinds.Kind]int)
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
	if got := Of(all, 10).String(); got != "8 idle, 2 in-flight" {
		t.Errorf("10 of %s: %s", all, got)
	}
	if text := all.String(); text != "80 % idle, 20 % in-flight" {
		t.Errorf("Of changes its shares: %s", text)
	}
}

// The kinds of a mix are opened in turn, as their shares are, and in numbers that are as asked for.
func TestOrder(t *testing.T) {
	mix := Mix(shares(t, "idle=60,fresh=30,half=10"))
	counts := make(map[kinds.Kind]int)
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
