package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rstserver/internal/prose"
)

// story is what came of the most connections of one mix, in five lines at the most: who freed the port, who never did, when clients were
// told, what was left, and what else to look at.
type story struct {
	Title string
	Lines []storyLine
}

// storyLine lists servers: ours first, so that it is there when there is no room for all, then the floor.
type storyLine struct {
	Name  string
	Items []string
}

// storyNames is the width of the longest name of a line, and the blanks behind it.
const storyNames = len("clients told") + 2

// text lists the first n items, and says how many more there are.
func (l storyLine) text(n int) string {
	text := strings.Join(l.Items[:n], "; ")
	if more := len(l.Items) - n; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// Text lists all items.
func (l storyLine) Text() string { return l.text(len(l.Items)) }

func (d *Document) stories(blocks []block) []story {
	var stories []story
	for i, b := range blocks {
		if i+1 < len(blocks) && blocks[i+1].mix == b.mix {
			continue
		}
		b.rows = slices.Clone(b.rows)
		slices.SortStableFunc(b.rows, func(a, b row) int { return cmp.Compare(rank(a.server.Role), rank(b.server.Role)) })
		s := story{Title: b.title() + ", " + strings.Replace(b.over(), " (least–greatest)", "", 1)}
		s.add("port free", d.freed(b))
		s.add("never free", d.neverFreed(b))
		s.add("clients told", d.told(b))
		s.add("left behind", d.leftBehind(b))
		stories = append(stories, s)
	}
	stories = append(stories, d.restartStory(d.restartRows())...)
	look := d.look(blocks)
	if len(stories) == 0 {
		stories = append(stories, story{Title: "Nothing was measured"})
	}
	stories[len(stories)-1].add("look at", look)
	return stories
}

func rank(r Role) int {
	switch r {
	case Ours:
		return 0
	case Floor:
		return 1
	}
	return 2
}

func (s *story) add(name string, items []string) {
	if len(items) > 0 {
		s.Lines = append(s.Lines, storyLine{name, items})
	}
}

// freed lists who has freed the port, and when, the fastest of each role first.
func (d *Document) freed(b block) []string {
	var items []string
	for _, r := range b.rows {
		if !r.Free.Settled() {
			continue
		}
		item := held(r.server.Name) + nbsp + prose.Milliseconds(r.Free.Median) + nbsp + "ms"
		if r.floor > 0 && r.server.Role == Ours && len(items) == 0 {
			item += " (" + ratioText(r.floor) + nbsp + "×" + nbsp + "floor)"
		}
		items = append(items, item)
	}
	return items
}

// neverFreed lists who has not freed it as long as it was watched.
func (d *Document) neverFreed(b block) []string {
	var items []string
	for _, r := range b.rows {
		if len(r.cell.Runs) == 0 || r.Free.Settled() {
			continue
		}
		item := held(r.server.Name)
		if r.Free.N > 0 {
			item += fmt.Sprintf(" (in"+nbsp+"%d"+nbsp+"of"+nbsp+"%d"+nbsp+"runs)", r.Free.Of-r.Free.N, r.Free.Of)
		}
		items = append(items, item)
	}
	if len(items) > 0 && d.Settings.Settle > 0 {
		items[0] = "in" + nbsp + strings.ReplaceAll(prose.Span(d.Settings.Settle), " ", nbsp) + ": " + items[0]
	}
	return items
}

// told lists when the last client of each was told, and how.
func (d *Document) told(b block) []string {
	var items []string
	for _, r := range b.rows {
		counts := r.cell.endings(func(r Run) map[string]int { return r.Endings })
		switch {
		case len(counts) == 0:
		case r.Told.Settled():
			item := held(r.server.Name) + nbsp + prose.Milliseconds(r.Told.Median) + nbsp + "ms"
			if len(counts) == 1 && counts[0].what != "reset" {
				item += " by" + nbsp + endingName(counts[0].what)
			}
			items = append(items, item)
		default:
			items = append(items, held(r.server.Name)+" not"+nbsp+"all")
		}
	}
	return items
}

// leftBehind lists what was left on the port, by which servers.
func (d *Document) leftBehind(b block) []string {
	type group struct {
		what    string
		most    int
		servers []string
	}
	var groups []group
	for _, r := range b.rows {
		left := r.leftOnPort()
		if left == none {
			continue
		}
		counts, _ := r.cell.left()
		i := slices.IndexFunc(groups, func(g group) bool { return g.what == left })
		if i < 0 {
			i = len(groups)
			most := 0
			for _, c := range counts {
				most += c.max
			}
			groups = append(groups, group{what: left, most: most})
		}
		groups[i].servers = append(groups[i].servers, held(r.server.Name))
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(b.most, a.most) })
	var items []string
	for _, g := range groups {
		if more := len(g.servers) - maxHolders; more > 0 {
			g.servers = append(g.servers[:maxHolders:maxHolders], prose.Grouped(more)+nbsp+"more")
		}
		items = append(items, g.what+" by "+prose.Enumerate(g.servers))
	}
	return items
}

// look is what else there is to look at, further down.
func (d *Document) look(blocks []block) []string {
	var items []string
	if d.Interrupted {
		items = append(items, "it was interrupted")
	}
	for _, of := range []struct {
		n    int
		what string
	}{{len(d.Failed), "failed"}, {len(d.Skipped), "skipped"}} {
		if of.n > 0 {
			items = append(items, prose.Grouped(of.n)+nbsp+of.what)
		}
	}
	if n := len(d.warnings(blocks)); n > 0 {
		items = append(items, strings.ReplaceAll(prose.Plural(n, "warning"), " ", nbsp))
	}
	return items
}

// held is a server's name, which is not broken as long as there is room.
func held(name string) string { return strings.ReplaceAll(prose.Printable(name), " ", nbsp) }
