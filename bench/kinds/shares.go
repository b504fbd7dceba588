package kinds

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Share is a number of connections of one kind.
type Share struct {
	Kind Kind
	N    int
}

// Shares are a mix of connections whose number is another matter: the N of each Share is its weight.
type Shares []Share

// MaxWeight bounds weights, so that no product of a weight and a number of connections overflows.
const MaxWeight = 1_000_000

// ParseShares reads a kind of connection, or several with their weights: "idle", "idle=80,in-flight=20".
// The error names what is no kind, or no weight from 1 to MaxWeight.
func ParseShares(s string) (Shares, error) { return parseShares(s, All()) }

// ParseWork is ParseShares of clients that are at work during a restart, with the same errors.
func ParseWork(s string) (Shares, error) { return parseShares(s, AtWork()) }

func parseShares(s string, known []Kind) (Shares, error) {
	var shares Shares
	parts := strings.Split(s, ",")
	for _, part := range parts {
		name, weight, weighted := strings.Cut(strings.TrimSpace(part), "=")
		kind, n := Kind(name), 1
		if !slices.Contains(known, kind) {
			return nil, fmt.Errorf("%q is no kind of connection: %s", name, kindNames(known))
		}
		if weighted {
			var err error
			if n, err = strconv.Atoi(weight); err != nil || n < 1 || n > MaxWeight {
				return nil, fmt.Errorf("%s=%s: a share is a number from 1 to %d", name, weight, MaxWeight)
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

func kindNames(known []Kind) string {
	var names []string
	for _, k := range known {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Total is the sum of the weights.
func (s Shares) Total() int {
	n := 0
	for _, share := range s {
		n += share.N
	}
	return n
}

// String is "idle", or "80 % idle, 20 % in-flight".
func (s Shares) String() string {
	if len(s) == 1 {
		return string(s[0].Kind)
	}
	total := s.Total()
	parts := make([]string, len(s))
	for i, share := range s {
		parts[i] = fmt.Sprintf("%s %% %s", strconv.FormatFloat(float64(share.N)*100/float64(total), 'g', 3, 64), share.Kind)
	}
	return strings.Join(parts, ", ")
}
