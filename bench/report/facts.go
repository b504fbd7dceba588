package report

import (
	"maps"
	"slices"
	"strings"
	"time"

	"rstserver/internal/prose"
)

// fact is one line about where and how it was measured.
type fact struct{ Name, Text string }

// facts are those of a document. What is unknown is left out.
func (d *Document) facts() []fact {
	var facts []fact
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{name, prose.Printable(text)})
		}
	}
	m, s := d.Machine, d.Settings
	if !d.Began.IsZero() {
		facts = append(facts, fact{"date", d.Began.Format("2006-01-02 15:04 MST") + ", took " + glued(prose.Span(d.Took))})
	}
	add("program", d.Program)
	add("system", join(m.OS, m.Kernel, m.Arch))
	processor := m.Processor
	if m.Processors > 0 {
		processor = join(prose.Plural(m.Processors, "processor"), processor)
	}
	add("processor", processor)
	if m.Memory > 0 {
		add("memory", prose.Grouped(m.Memory>>20)+" MiB")
	}
	if m.OpenFiles > 0 {
		add("open files", "at most "+prose.Grouped(int64(min(m.OpenFiles, 1<<62)))+" for each process")
	}
	add("load before", m.Load)
	for _, name := range slices.Sorted(maps.Keys(m.Sysctl)) {
		add(prose.Printable(name), m.Sysctl[name])
	}
	add("Go", m.GoVersion)
	var settings []string
	if s.Runs > 0 {
		settings = append(settings, prose.Plural(s.Runs, "run"))
	}
	if s.Wire > 0 {
		settings = append(settings, prose.Grouped(s.Wire)+" more to see the wire")
	}
	if s.Restarts > 0 {
		settings = append(settings, prose.Plural(s.Restarts, "restart")+" in each", prose.Plural(s.N, "client")+": "+s.Clients,
			prose.Grouped(int(s.Rate))+" requests a second of get and post clients", "windows of "+glued(prose.Span(s.Window))+" at least")
	}
	for _, setting := range []struct {
		name string
		d    time.Duration
	}{{"settle", s.Settle}, {"timeout", s.Timeout}, {"in-flight requests take", s.Late}, {"probe every", s.Probe}} {
		if setting.d > 0 {
			settings = append(settings, setting.name+" "+glued(prose.Span(setting.d)))
		}
	}
	for _, own := range []fact{{"settings", join(settings...)}, {"resolution", d.attained()}} {
		if own.Text != "" {
			facts = append(facts, own)
		}
	}
	return facts
}

// glued replaces the blanks of s by such as hold together what is beside them.
func glued(s string) string { return strings.ReplaceAll(s, " ", nbsp) }

// join lists what is not empty.
func join(parts ...string) string {
	list := ""
	for _, part := range parts {
		switch {
		case part == "":
		case list == "":
			list = part
		default:
			list += ", " + part
		}
	}
	return list
}
