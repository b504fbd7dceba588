package linger

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String is the report as a table of at most 100 columns (a word that is longer is not broken), to be read in five seconds.
// It ends without a newline.
func (r Report) String() string {
	var b strings.Builder
	if r.Mode == ModeNone {
		fmt.Fprintf(&b, "serving %s\n", cmp.Or(r.Address, "nothing"))
		row(&b, "connections", r.connections("alive"))
		return strings.TrimSuffix(b.String(), "\n")
	}
	head, verdict := fmt.Sprintf("teardown of %s by %s:", r.Address, r.Mode), r.verdict()
	if len(head)+1+len(verdict) > columns {
		head += "\n "
	}
	fmt.Fprintf(&b, "%s %s\n", head, verdict)
	row(&b, "listener refused", step(r.Steps.Refused))
	row(&b, "port free", r.portFree())
	row(&b, "verified", r.verified())
	row(&b, "done", step(r.Steps.Done))
	row(&b, "connections", r.connections("aborted"))
	if r.AbortedOutside > 0 {
		row(&b, "", grouped(r.AbortedOutside)+" from outside, as their loop was stuck")
	}
	if r.Refused > 0 {
		row(&b, "", grouped(r.Refused)+" by close, as the kernel refused to reset them in place")
	}
	row(&b, "handlers running", grouped(r.HandlersRunning))
	if r.Unverified == "" && r.Steps.Verified != 0 {
		row(&b, "left, ours", r.Left.Outlived.String())
		row(&b, "left, residue", r.Left.Residue.String())
		row(&b, "left, others", r.Left.Others.String())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (r Report) verdict() string {
	switch {
	case r.Unverified != "":
		return "not verified"
	case r.Steps.Verified == 0:
		return "not finished"
	case r.Left.Outlived.Total() > 0:
		return "NOT complete, connections of ours are left"
	case r.Left.Free():
		return "nothing is left, the port is free"
	default:
		return "nothing of ours is left"
	}
}

func (r Report) portFree() string {
	s := step(r.Steps.PortFree)
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
		return step(0)
	}
	return fmt.Sprintf("%s  from %s", step(r.Steps.Verified), r.Left.Source)
}

// connections is like "10,000 aborted: 9,990 idle, 10 receiving".
func (r Report) connections(what string) string {
	s := grouped(r.Connections.Total()) + " " + what
	sep := ": "
	r.Connections.each(func(a Activity, n int) {
		s += sep + grouped(n) + " " + a.String()
		sep = ", "
	})
	return s
}

const columns, nameColumns = 100, 20

// row writes one line, or several where value is too long for one.
func row(b *strings.Builder, name, value string) {
	for more := true; more; name = "" {
		var line string
		line, value, more = breakLine(value, columns-nameColumns)
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

// step is a duration right-aligned, so that the points of a column of them stand below each other.
func step(d time.Duration) string {
	if d == 0 {
		return "         -"
	}
	return fmt.Sprintf("%7.2f ms", float64(d)/1e6)
}

// grouped writes n with a comma between groups of three digits.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
