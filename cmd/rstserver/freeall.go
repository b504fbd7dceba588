package main

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rstserver/internal/layout"
	"rstserver/internal/prose"
	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

// freeReports are those of all ports of one call.
type freeReports []*freeReport

// any reports whether f holds for one of them.
func (all freeReports) any(f func(*freeReport) bool) bool { return slices.ContainsFunc(all, f) }

func (all freeReports) free() bool {
	return !all.any(func(r *freeReport) bool { return !r.After.Free })
}

// question is what the user has to agree to: once, for all ports.
func (all freeReports) question() string {
	var selected sockdiag.Counts
	var owners []freeport.Process
	ports, destroys := 0, false
	for _, r := range all {
		if r.something() {
			ports++
		}
		for state, n := range r.Before.Selected {
			selected[state] += n
		}
		destroys = destroys || r.Before.Selected.Total() > 0 && r.CannotDestroy == ""
		if r.stops() {
			for _, p := range r.Before.Owners {
				if !slices.Contains(owners, p) {
					owners = append(owners, p)
				}
			}
		}
	}
	where := ""
	if ports > 1 {
		where = " on " + prose.Plural(ports, "port")
	}
	what := fmt.Sprintf("%s%s (%s)", prose.Plural(selected.Total(), "socket"), where, selected)
	signal := unix.SignalName(all[0].signal())
	switch {
	case len(owners) == 0:
		return "Destroy " + what + "?"
	case !destroys:
		return fmt.Sprintf("Send %s to %s?", signal, processNames(owners))
	default:
		return fmt.Sprintf("Send %s to %s, and destroy what is left of %s after %s at the most?", signal, processNames(owners), what, all[0].plan.Wait)
	}
}

// summary is one line for the ports that are free, and one for those that are not, with who holds them.
func (all freeReports) summary(columns int) string {
	b := layout.Text{Columns: columns}
	var free []uint16
	var held []string
	for _, r := range all {
		if r.After.Free {
			free = append(free, r.Port)
			continue
		}
		var who []string
		for _, h := range r.After.Holders {
			if name := prose.Printable(h.Process.String()); !slices.Contains(who, name) {
				who = append(who, name)
			}
		}
		text := fmt.Sprint(r.Port)
		if len(who) > 0 {
			text += " (" + prose.Enumerate(who) + ")"
		}
		held = append(held, text)
	}
	if len(free) > 0 {
		b.Wrap("", "  ", fmt.Sprintf("%s %s free: %s", prose.Plural(len(free), "port"), pick(len(free), "is", "are"), rangesOf(free)))
	}
	if len(held) > 0 {
		b.Wrap("", "  ", fmt.Sprintf("%s %s not: %s", prose.Plural(len(held), "port"), pick(len(held), "is", "are"), strings.Join(held, ", ")))
	}
	return b.String()
}
