package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Shares is a Mix without a number of connections: the N of each Share is its weight.
type Shares []Share

// maxWeight bounds weights, so that no product of a weight and a number of connections overflows.
const maxWeight = 1_000_000

// ParseShares reads a kind, or several with their weights: "idle", "idle=80,in-flight=20".
func ParseShares(s string) (Shares, error) {
	var shares Shares
	parts := strings.Split(s, ",")
	for _, part := range parts {
		name, weight, weighted := strings.Cut(strings.TrimSpace(part), "=")
		kind, n := Kind(name), 1
		if !slices.Contains(Kinds(), kind) {
			return nil, fmt.Errorf("%q is no kind of connection: %s", name, kindNames())
		}
		if weighted {
			var err error
			if n, err = strconv.Atoi(weight); err != nil || n < 1 || n > maxWeight {
				return nil, fmt.Errorf("%s=%s: a share is a number from 1 to %d", name, weight, maxWeight)
			}
		} else if len(parts) > 1 {
			return nil, fmt.Errorf("%s: each kind of a mix has a share: idle=80,in-flight=20", s)
		}
		if slices.ContainsFunc(shares, func(other Share) bool { return other.Kind == kind }) {
			return nil, fmt.Errorf("%s: %s is there twice", s, kind)
		}
		shares = append(shares, Share{kind, n})
	}
	return shares, nil
}

func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Of is a mix of n connections: of each kind its share, to the next whole number, and n in all.
func (s Shares) Of(n int) Mix {
	total := Mix(s).Total()
	mix := make(Mix, len(s))
	sum, given := 0, 0
	for i, share := range s {
		sum += share.N
		upTo := n * sum / total
		mix[i] = Share{share.Kind, upTo - given}
		given = upTo
	}
	return slices.DeleteFunc(mix, func(s Share) bool { return s.N == 0 })
}

// String is "idle", or "80 % idle, 20 % in-flight".
func (s Shares) String() string {
	if len(s) == 1 {
		return string(s[0].Kind)
	}
	total := Mix(s).Total()
	parts := make([]string, len(s))
	for i, share := range s {
		parts[i] = fmt.Sprintf("%s %% %s", strconv.FormatFloat(float64(share.N)*100/float64(total), 'g', 3, 64), share.Kind)
	}
	return strings.Join(parts, ", ")
}
