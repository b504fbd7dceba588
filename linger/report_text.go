package linger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String is the report as a table of at most 100 columns, to be read in five seconds. It ends without a newline.
func (r Report) String() string {
	var b strings.Builder
	if r.Mode == ModeNone {
		fmt.Fprintf(&b, "serving %s\n", r.Address)
		row(&b, "connections", r.connections("alive"))
		return strings.TrimSuffix(b.String(), "\n")
	}
	fmt.Fprintf(&b, "teardown of %s by %s: %s\n", r.Address, r.Mode, r.verdict())
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
	if r.Unverified == "" {
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
		return "no: " + r.Unverified
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

func row(b *strings.Builder, name, value string) {
	fmt.Fprintf(b, "  %-17s %s\n", name, value)
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
