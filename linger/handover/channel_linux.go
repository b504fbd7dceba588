//go:build linux

package handover

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// message is what predecessor and successor say to each other, a line each.
type message struct {
	word string
	text string
}

// The words of messages. A successor says the first four, a predecessor the next two, and the parent of the successor the last two.
const (
	begun    = "begun"    // the successor has called New
	reason   = "reason"   // why the successor will not be ready
	ready    = "ready"    // the successor can take over
	stopping = "stopping" // the successor has taken over, and comes to an end that was asked for
	goAhead  = "go"       // the predecessor agrees
	refused  = "refused"  // it does not any more, and kills the successor
	started  = "started"  // the number of the successor's process
	ended    = "ended"    // how it has
)

func (m message) String() string { return m.word + " " + strconv.Quote(m.text) + "\n" }

// readMessages calls f with what comes, until the other end is closed.
func readMessages(r io.Reader, f func(message)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, quoted, _ := strings.Cut(lines.Text(), " ")
		text, err := strconv.Unquote(quoted)
		if err != nil {
			text = quoted
		}
		f(message{word, text})
	}
}
