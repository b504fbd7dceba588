package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rstserver/bench/kinds"
)

// Ending is how a client was told that its connection is over.
type Ending uint8

// The endings.
const (
	Untold   Ending = iota // not at all
	Reset                  // ECONNRESET
	EOF                    // a clean end
	Answered               // the answer came whole that the client was waiting for; what came after counts for nothing
	Failed                 // another error
	Left                   // the client has closed, since the server had said that it would (GOAWAY)
)

func (e Ending) String() string {
	return [...]string{"untold", "reset", "eof", "answered", "failed", "left"}[e]
}

// Tally is a number of clients for each Ending, which is the index.
type Tally [Left + 1]int

func (t Tally) String() string {
	var parts []string
	for ending, n := range t {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, Ending(ending)))
		}
	}
	return strings.Join(parts, ", ")
}

// Names is the tally by the names of the endings that occur. Those that the server had said something before are among them by that too:
// "close 1001 then eof".
func (t Tally) Names(said map[string]Tally) map[string]int {
	m := make(map[string]int)
	for what, of := range said {
		for ending, n := range of {
			if n > 0 {
				m[what+" then "+Ending(ending).String()] = n
				t[ending] -= n
			}
		}
	}
	for ending, n := range t {
		if n > 0 {
			m[Ending(ending).String()] = n
		}
	}
	return m
}

// Endings counts how clients were told.
type Endings struct {
	By Tally                `json:"by"`
	Of map[kinds.Kind]Tally `json:"of"`
	// Said counts those of Of that the server had said something before, by that: "close 1001" in a WebSocket, of which 1005 is without a
	// code, "RST_STREAM" and "GOAWAY" in HTTP/2, "close_notify" in TLS. Of a client that was answered what came after counts for nothing.
	Said  map[kinds.Kind]map[string]Tally `json:"said,omitempty"`
	Steps []Step                          `json:"steps"`         // by time; who is Untold is in none
	Err   string                          `json:"err,omitempty"` // of one of the clients that Failed
	// Spoke is when the first Stuck or Unread client was sent something, as At of a Step. 0: none was.
	Spoke time.Duration `json:"spoke,omitempty"`
}

// Step is a number of clients that learnt of their ending in one go.
type Step struct {
	At     time.Duration `json:"at"` // since the machine was started
	Ending Ending        `json:"ending"`
	N      int           `json:"n"`
}

// add counts a client in a step.
func (e *Endings) add(at time.Duration, ending Ending) {
	e.Steps = append(e.Steps, Step{at, ending, 1})
}

// addSaid counts clients of a kind that the server had said something.
func (e *Endings) addSaid(kind kinds.Kind, what string, t Tally) {
	if e.Said == nil {
		e.Said = make(map[kinds.Kind]map[string]Tally)
	}
	if e.Said[kind] == nil {
		e.Said[kind] = make(map[string]Tally)
	}
	e.Said[kind][what] = e.Said[kind][what].plus(t)
}

// Names are the names of all endings, as Tally.Names has them.
func (e *Endings) Names() map[string]int {
	said := make(map[string]Tally)
	for _, of := range e.Said {
		for what, t := range of {
			said[what] = said[what].plus(t)
		}
	}
	return e.By.Names(said)
}

func (t Tally) plus(other Tally) Tally {
	for ending, n := range other {
		t[ending] += n
	}
	return t
}

// sort brings the steps in order, and makes one of those that are at the same time.
func (e *Endings) sort() {
	slices.SortFunc(e.Steps, func(a, b Step) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Ending, b.Ending)) })
	steps := e.Steps[:0]
	for _, s := range e.Steps {
		if last := len(steps) - 1; last >= 0 && steps[last].At == s.At && steps[last].Ending == s.Ending {
			steps[last].N += s.N
		} else {
			steps = append(steps, s)
		}
	}
	e.Steps = steps
}

// merge adds those of other clients of the same server.
func (e *Endings) merge(other Endings) {
	e.By = e.By.plus(other.By)
	if e.Of == nil {
		e.Of = make(map[kinds.Kind]Tally)
	}
	for kind, t := range other.Of {
		e.Of[kind] = e.Of[kind].plus(t)
	}
	for kind, of := range other.Said {
		for what, t := range of {
			e.addSaid(kind, what, t)
		}
	}
	e.Steps = append(e.Steps, other.Steps...)
	e.sort()
	if e.Err == "" {
		e.Err = other.Err
	}
	e.Spoke = earlier(e.Spoke, other.Spoke)
}

// earlier is the one of two times that comes first, of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// String writes a part for each kind, if there are several.
func (e Endings) String() string {
	if len(e.Of) == 1 {
		return e.By.String()
	}
	var parts []string
	for kind, t := range e.Of {
		parts = append(parts, fmt.Sprintf("%s: %s", kind, t))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
