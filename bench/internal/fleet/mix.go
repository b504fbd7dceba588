package fleet

import (
	"fmt"
	"slices"
	"strings"

	"rstserver/bench/kinds"
)

// Mix is what the connections of a Fleet are.
type Mix []kinds.Share

// All is a Mix of one kind.
func All(n int, kind kinds.Kind) Mix { return Mix{{Kind: kind, N: n}} }

// Of is a mix of n connections that has these shares: of each kind its share, to the next whole number, and n in all.
func Of(s kinds.Shares, n int) Mix {
	total := s.Total()
	mix := make(Mix, len(s))
	sum, given := 0, 0
	for i, share := range s {
		sum += share.N
		upTo := n * sum / total
		mix[i] = kinds.Share{Kind: share.Kind, N: upTo - given}
		given = upTo
	}
	return slices.DeleteFunc(mix, func(s kinds.Share) bool { return s.N == 0 })
}

// Total is the number of connections.
func (m Mix) Total() int { return kinds.Shares(m).Total() }

// Only reports whether all connections are of a kind.
func (m Mix) Only(kind kinds.Kind) bool {
	return !slices.ContainsFunc(m, func(s kinds.Share) bool { return s.Kind != kind && s.N > 0 })
}

func (m Mix) String() string {
	parts := make([]string, len(m))
	for i, s := range m {
		parts[i] = fmt.Sprintf("%d %s", s.N, s.Kind)
	}
	return strings.Join(parts, ", ")
}

// order is one kind for each connection. The kinds alternate as their shares allow, so that a server does not find all of
// one kind beside each other.
func (m Mix) order() []kinds.Kind {
	total := m.Total()
	order := make([]kinds.Kind, 0, total)
	used := make([]int, len(m))
	for i := range total {
		next, most := 0, -total
		for k, s := range m {
			if behind := s.N*(i+1) - total*used[k]; behind > most {
				next, most = k, behind
			}
		}
		used[next]++
		order = append(order, m[next].Kind)
	}
	return order
}
