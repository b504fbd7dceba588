package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Ending is how a client was told that its connection is over.
type Ending uint8

// The endings.
const (
	Untold   Ending = iota // not at all
	Reset                  // ECONNRESET
	EOF                    // a clean end
	Answered               // the answer came whole that the client was waiting for (see Brief); what came after counts for nothing
	Failed                 // another error
)

func (e Ending) String() string {
	return [...]string{"untold", "reset", "EOF", "answered", "failed"}[e]
}

// Tally is a number of clients for each Ending, which is the index.
type Tally [Failed + 1]int

func (t Tally) String() string {
	var parts []string
	for ending, n := range t {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, Ending(ending)))
		}
	}
	return strings.Join(parts, ", ")
}

// Endings counts how clients were told, and when the last one was.
type Endings struct {
	By   Tally
	Of   map[Kind]Tally
	Last time.Time
	Err  error // of one of the clients that Failed
}

// String has a part for each kind, if there are several.
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
