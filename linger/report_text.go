package linger

import (
	"cmp"
	"fmt"
	"strings"

	"rstserver/internal/prose"
)

// String is Text for 100 columns.
func (r Report) String() string { return r.Text(usualColumns) }

// Text is the report as a table for a terminal of so many columns, to be read in five seconds. A word is not broken. It ends without a
// newline.
func (r Report) Text(columns int) string {
	b := reportText{columns: max(columns, leastColumns)}
	switch {
	case r.Mode == ModeNone:
		fmt.Fprintf(&b, "serving %s\n", cmp.Or(r.Address, "nothing"))
		row(&b, "connections", counts(r.Connections, "alive"))
	case r.Mode.patient() && r.Steps.Done == 0:
		r.writeAtWork(&b)
	default:
		r.writeDone(&b)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// writeAtWork writes how far a drain or a release is.
func (r Report) writeAtWork(b *reportText) {
	doing, how := "draining", "the port refuses, what is in flight is being finished"
	switch r.Mode {
	case ModeRelease:
		doing, how = "released", "the port refuses, its connections live on"
	case ModeHandover:
		doing, how = "handed over", "the port is a successor's, what is in flight is being finished"
	}
	if r.Steps.Refused == 0 {
		how = "the port does not refuse yet"
		switch r.Mode {
		case ModeRelease:
			doing = "releasing"
		case ModeHandover:
			doing, how = "handing over", "the port is a successor's, and still served here"
		}
	}
	title(b, fmt.Sprintf("%s %s:", doing, r.Address), how)
	row(b, r.refused(), prose.Column(r.Steps.Refused))
	row(b, "drained", prose.Column(r.Steps.Drained))
	row(b, "connections", counts(r.Connections, "alive"))
	if r.Closed > 0 {
		row(b, "", prose.Grouped(r.Closed)+" closed in order")
	}
	if r.Streams > 0 {
		row(b, "HTTP/2 streams", prose.Grouped(r.Streams))
	}
}

// writeDone writes what a teardown has come to.
func (r Report) writeDone(b *reportText) {
	title(b, fmt.Sprintf("teardown of %s by %s:", r.Address, r.Mode), r.verdict())
	row(b, r.refused(), prose.Column(r.Steps.Refused))
	if r.Mode.patient() {
		row(b, "drained", prose.Column(r.Steps.Drained))
	}
	row(b, "port free", r.portFree())
	row(b, "verified", r.verified())
	row(b, "done", prose.Column(r.Steps.Done))
	r.writeConnections(b)
	if r.Streams > 0 {
		row(b, "HTTP/2 streams", prose.Grouped(r.Streams))
	}
	if r.HandlersRunning >= 0 {
		row(b, "handlers running", prose.Grouped(r.HandlersRunning))
	}
	if r.Swept != nil {
		row(b, "swept", r.Swept.String())
	}
	if r.Unverified == "" && r.Steps.Verified != 0 {
		row(b, "left, ours", r.Left.Outlived.String())
		row(b, "left, residue", r.Left.Residue.String())
		row(b, "left, others", r.Left.Others.String())
		if r.Left.Unowned.Total() > 0 {
			row(b, "left, unowned", r.Left.Unowned.String()+", held by "+r.Left.heldBy())
		}
	}
}

// refused names the first step.
func (r Report) refused() string {
	if r.Mode == ModeHandover {
		return "listener left"
	}
	return "listener refused"
}

func (r Report) verdict() string {
	switch {
	case r.Unverified != "":
		return "not verified"
	case r.Steps.Verified == 0:
		return "not finished"
	case r.Left.Outlived.Total() > 0:
		return "NOT complete, connections of ours are left"
	case r.Left.Unowned.Total() > 0:
		return "NOT complete, somebody holds sockets on the port that no server knows"
	case r.Left.Free():
		return "nothing is left, the port is free"
	default:
		return "nothing of ours is left"
	}
}

func (r Report) portFree() string {
	s := prose.Column(r.Steps.PortFree)
	switch {
	case r.Unverified != "" || r.Steps.Verified == 0 || r.Left.Free():
		return s
	case r.Left.Outlived.Total() > 0:
		return s + "  but the kernel still lists connections of ours"
	default:
		return s + "  of all that was ours; see below what else is on it"
	}
}

func (r Report) verified() string {
	if r.Unverified != "" {
		return "no: " + strings.ReplaceAll(r.Unverified, "\n", "; ")
	}
	if r.Steps.Verified == 0 {
		return prose.Column(0)
	}
	return fmt.Sprintf("%s  from %s", prose.Column(r.Steps.Verified), r.Left.Source)
}

// writeConnections writes how the connections ended. Each of them is in one of the first three rows.
func (r Report) writeConnections(b *reportText) {
	name := "connections"
	if r.Mode.patient() {
		row(b, name, prose.Grouped(r.Closed)+" closed in order")
		name = ""
	}
	if r.Mode.Drains() {
		atOnce := r.Connections
		for a := range atOnce {
			atOnce[a] -= r.AtDeadline[a] + r.ByAbort[a]
		}
		row(b, name, counts(atOnce, "aborted with nothing in flight"))
		if r.AtDeadline.Total() > 0 {
			row(b, name, counts(r.AtDeadline, "cut at the deadline"))
		}
		if r.ByAbort.Total() > 0 {
			row(b, name, counts(r.ByAbort, "cut by an abort"))
		}
	} else {
		row(b, name, counts(r.Connections, "aborted"))
	}
	if r.Queued > 0 {
		row(b, "", prose.Grouped(r.Queued)+" reset in the queue, as nobody had accepted them")
	}
	if r.AbortedOutside > 0 {
		row(b, "", prose.Grouped(r.AbortedOutside)+" from outside, as their loop was stuck")
	}
	if r.Refused > 0 {
		row(b, "", prose.Grouped(r.Refused)+" by close, as the kernel refused to reset them in place")
	}
	if r.Undelivered > 0 {
		row(b, "undelivered", prose.Plural(r.Undelivered, "message")+" that waited to be sent")
	}
}

// counts is like "10,000 aborted: 9,990 idle, 10 receiving".
func counts(t Tally, what string) string {
	s := prose.Grouped(t.Total()) + " " + what
	sep := ": "
	t.each(func(a Activity, n int) {
		s += sep + prose.Grouped(n) + " " + a.String()
		sep = ", "
	})
	return s
}

const usualColumns, leastColumns, nameColumns = 100, 40, 20

// reportText is a table that is written.
type reportText struct {
	strings.Builder
	columns int // of the terminal
}

// title writes the first line, or two where one would be too long.
func title(b *reportText, head, verdict string) {
	if len(head)+1+len(verdict) <= b.columns {
		fmt.Fprintf(b, "%s %s\n", head, verdict)
		return
	}
	fmt.Fprintln(b, head)
	const indent = "  "
	for more := true; more; {
		var line string
		line, verdict, more = breakLine(verdict, b.columns-len(indent))
		fmt.Fprintln(b, indent+line)
	}
}

// row writes one line, or several where value is too long for one.
func row(b *reportText, name, value string) {
	for more := true; more; name = "" {
		var line string
		line, value, more = breakLine(value, b.columns-nameColumns)
		fmt.Fprintf(b, "  %-*s%s\n", nameColumns-2, name, line)
	}
}

// breakLine cuts s so that line is at most n bytes, behind a comma or the like if there is one, at a space if not. A word
// longer than that is left whole.
func breakLine(s string, n int) (line, rest string, more bool) {
	if len(s) <= n {
		return s, "", false
	}
	fits := s[:n+1]
	end := max(strings.LastIndex(fits, ", "), strings.LastIndex(fits, "; "), strings.LastIndex(fits, ": ")) + 1
	if end == 0 {
		end = strings.LastIndexByte(fits, ' ')
	}
	if end < 0 {
		end = strings.IndexByte(s, ' ')
	}
	if end < 0 {
		return s, "", false
	}
	return s[:end], s[end+1:], true
}
