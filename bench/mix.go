package bench

import (
	"fmt"
	"strings"
)

// Share is a number of connections of one kind.
type Share struct {
	Kind Kind
	N    int
}

// Mix is what the connections of a Fleet are.
type Mix []Share

// All is a Mix of one kind.
func All(n int, kind Kind) Mix { return Mix{{kind, n}} }

// Total is the number of connections.
func (m Mix) Total() int {
	n := 0
	for _, s := range m {
		n += s.N
	}
	return n
}

// Scale is the mix in the same proportions with at most total connections.
func (m Mix) Scale(total int) Mix {
	all := m.Total()
	if all <= total {
		return m
	}
	scaled := make(Mix, len(m))
	for i, s := range m {
		scaled[i] = Share{s.Kind, s.N * total / all}
	}
	return scaled
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
func (m Mix) order() []Kind {
	total := m.Total()
	order := make([]Kind, 0, total)
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
