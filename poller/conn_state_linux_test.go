//go:build linux

package poller

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// edge is a change of state.
type edge struct{ from, to state }

func (e edge) String() string { return fmt.Sprintf("%s ─▶ %s", e.from, e.to) }

// drawn are the edges of the drawing in conn_state_linux.go, but for those that it says of every state.
var drawn = sync.OnceValue(func() map[edge]bool {
	source, err := os.ReadFile("conn_state_linux.go")
	if err != nil {
		panic(err)
	}
	named := func(list string) (ss []state) {
		for name := range strings.SplitSeq(list, ",") {
			s := slices.IndexFunc(table[:], func(r row) bool { return r.name == strings.TrimSpace(name) })
			if s < 0 {
				panic("the drawing has a state of the name " + name)
			}
			ss = append(ss, state(s))
		}
		return ss
	}
	edges := make(map[edge]bool)
	for _, line := range regexp.MustCompile(`(?m)^//\t(.*?─▶.*?)(?:  .*)?$`).FindAllStringSubmatch(string(source), -1) {
		steps := strings.Split(line[1], " ─▶ ")
		for i, from := range steps[:len(steps)-1] {
			for _, f := range named(from) {
				for _, t := range named(steps[i+1]) {
					edges[edge{f, t}] = true
				}
			}
		}
	}
	return edges
})

// walked are the edges that connections have taken in this process.
var walked struct {
	sync.Mutex
	edges map[edge]bool
}

// walk notes an edge, and panics if it is not drawn.
func walk(from, to state) {
	e := edge{from, to}
	switch {
	case to == ended && from < hijacked, to == gone && from != gone:
	case !drawn()[e]:
		panic(fmt.Sprintf("%s is not drawn", e))
	}
	walked.Lock()
	defer walked.Unlock()
	walked.edges[e] = true
}

func init() {
	walked.edges = make(map[edge]bool)
	changed = walk
}
