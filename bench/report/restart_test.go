package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// traffic is that of clients of a kind, of which so many requests were lost in a way, with answers that took from 1 to 100 ms.
func traffic(kind, how string, lost int) Traffic {
	t := Traffic{
		Answers: map[string]int{"get": 60, "post": 40}, Lost: map[string]map[string]int{}, Cut: map[string]map[string]int{"idle": {"reset": 3}, "websocket": {"close 1012": 2}},
		Old: 40, New: 60, Gap: new(time.Duration), Late: Lateness{P99: time.Millisecond, Most: 2 * time.Millisecond},
	}
	*t.Gap = time.Duration(5+lost) * time.Millisecond
	if lost > 0 {
		t.Lost[kind] = map[string]int{how: lost}
	}
	for ms := range 100 {
		t.Took = append(t.Took, Took{time.Duration(ms+1) * time.Millisecond, 10})
	}
	return t
}

// restarts is a document of servers. Each was restarted as often as it has numbers, which are of requests that were lost.
func restarts() *Document {
	d := &Document{
		Version: Version, Began: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC),
		Settings: Settings{Runs: 1, Restarts: 4, N: 100, Rate: 1000, Window: time.Second, Clients: "50 % get, 50 % post", Timeout: 10 * time.Second},
		Servers: []Server{
			{Name: "rstserver handover", Role: Ours, Signal: "signal=USR2"}, {Name: "stop, start", Role: Peer, Signal: "stop=TERM,start"},
			{Name: "nginx HUP", Role: Peer, Signal: "signal=HUP"}, {Name: "reload", Role: Peer, Signal: "exec=reload"},
		},
	}
	for i, lost := range [][]int{{0, 0, 0, 0}, {90, 110, 100, 120}, {1, 0, 2, 0}, {0, 0}} {
		s := d.Servers[i]
		run := RestartRun{Round: 1, Workers: 300 * time.Millisecond, Server: 100 * time.Millisecond, Quiet: time.Second}
		for _, n := range lost {
			gone, ready := time.Duration(500+n)*time.Millisecond, 80*time.Millisecond
			how := "refused"
			if s.Name == "nginx HUP" {
				how = "clean end"
			}
			one := Restart{Window: time.Second, Ready: &ready, Gone: &gone, With: traffic("get", how, n), Without: traffic("", "", 0),
				Resident: 20 << 20, ResidentMost: 40 << 20, Timeline: []Tick{{-TickLength, 10, 0, 0, 0}, {0, 4, 3, n, 0}}}
			if s.Name == "reload" {
				one.InPlace, one.Ready, one.Gone = true, nil, nil
				one.With.Old, one.With.New = 0, 0
			}
			run.Restarts = append(run.Restarts, one)
		}
		c := Restarted{Server: s.Name, Clients: map[string]int{"get": 50, "post": 50}, Runs: []RestartRun{run}}
		if s.Name == "nginx HUP" {
			c.Clients["sse"] = 4
			for i := range run.Restarts {
				run.Restarts[i].With.Cut["sse"] = map[string]int{"ended": 3, "closed": 1}
				run.Restarts[i].With.Events = Events{Came: 9, Lost: 2, Repeated: 1, Unknown: 2}
			}
		}
		if s.Name == "reload" {
			c.Without = []string{"websocket"}
		}
		d.Restarted = append(d.Restarted, c)
	}
	return d
}

// What was lost comes first, ours first of all, and each figure is that of one restart.
func TestRestartStory(t *testing.T) {
	d := restarts()
	got := strings.Join(strings.Fields(textIn(t, d, Options{Columns: 220})), " ")
	for i, want := range []string{
		"4 restarts of each under load, for each restart, of 100 clients at 1,000 requests a second lost rstserver handover 0; reload 0; nginx HUP 0.75; stop, start 105",
		"cut rstserver handover 3; reload 3;",
		"rstserver handover 0 100 –",
		"nginx HUP 0.75 101 0.75 clean end",
		"stop, start 105 205 105 refused 110 (95.0–125)", // the gap
		"reload (2 restarts) 0 100 – 5.00 same process 3 3 reset, 2 close 1012",
		"51.0 100 100 100 51.0 100 100 100",
		"nginx HUP signal=HUP 40 60 80.0 20.0 40.0",
		"reload (2 restarts) exec=reload – – – 20.0 40.0",
		"rstserver handover 30.0 10.0 1.00 2.00 1.00 2.00",
		"nginx HUP 4 1 3 2 1 2",
		"! measured without websocket clients, for which there is no path: reload",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the text lacks %q", want)
		}
		if i == 0 && !strings.HasPrefix(got, want) {
			t.Errorf("the text does not begin with the verdict:\n%.300s", got)
		}
	}
	if t.Failed() {
		t.Log(text(t, d))
	}
}

// Where nobody asks all the time there is no gap, in any form; and no table of streams without any.
func TestRestartWithoutGap(t *testing.T) {
	d := restarts()
	d.Restarted = d.Restarted[:1]
	for i := range d.Restarted[0].Runs[0].Restarts {
		one := &d.Restarted[0].Runs[0].Restarts[i]
		one.With.Gap, one.Without.Gap, one.With.Took, one.Without.Took = nil, nil, nil, nil
	}
	got := strings.Join(strings.Fields(textIn(t, d, Options{Columns: 220})), " ")
	if strings.Contains(got, "longest gap rstserver") || strings.Contains(got, "Event streams") || !strings.Contains(got, "rstserver handover 0 100 – – 500") {
		t.Errorf("the text is\n%s", got)
	}
	if note := dataOf(t, html(t, d)).Documents[0].Restarted[0].Restarts[0].Note; strings.Contains(note, "gap") {
		t.Errorf("the page notes %q", note)
	}
}

func TestRestartWarnings(t *testing.T) {
	d := restarts()
	one := &d.Restarted[0].Runs[0].Restarts[0]
	one.Without.Lost = map[string]map[string]int{"get": {"timeout": 2}}
	one.With.Late.Most = 300 * time.Millisecond
	for i := range one.Without.Took {
		one.Without.Took[i].N, one.Without.Took[i].Took = 1_000_000, one.Without.Took[i].Took+time.Second
	}
	got := strings.Join(strings.Fields(text(t, d)), " ")
	for _, want := range []string{
		"lost 2 requests in the windows without a restart", "with rstserver handover (300 ms); use a quieter machine", "what cannot keep up is rstserver handover; use a smaller --rate",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nobody is warned with %q", want)
		}
	}
}

// Every form has every server, and what was written can be read.
func TestRestartForms(t *testing.T) {
	d := restarts()
	got, err := Read(strings.NewReader(inJSON(t, d)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what was read is not what was written (-written +read):\n%s", diff)
	}
	var md strings.Builder
	if err := Markdown(&md, Options{Explain: true}, d); err != nil {
		t.Fatal(err)
	}
	page := html(t, d)
	for _, s := range d.Servers {
		for form, text := range map[string]string{"Markdown": md.String(), "page": page} {
			if !strings.Contains(text, s.Name) {
				t.Errorf("%s lacks %s", form, s.Name)
			}
		}
	}
	for form, text := range map[string]string{"Markdown": md.String(), "page": page} {
		lower := strings.ToLower(text)
		if !strings.Contains(lower, "what a restart costs the clients of servers") || strings.Contains(lower, "let go of their port and of") {
			t.Errorf("%s is not about restarts", form)
		}
		if !strings.Contains(text, "connections cut") {
			t.Errorf("%s does not explain its figures", form)
		}
	}
	drawn := dataOf(t, page).Documents[0].Restarted
	if len(drawn) != 4 || drawn[3].Server != "stop, start" || len(drawn[3].Restarts) != 2 {
		t.Fatalf("drawn are %+v", drawn)
	}
	if middle, worst := drawn[3].Restarts[0], drawn[3].Restarts[1]; middle.Ticks[1] != [4]float64{0, 4, 3, 100} || worst.Ticks[1][3] != 120 || *worst.Gone != 620 {
		t.Errorf("drawn are %+v and %+v, want the one in the middle, with 100 lost, and the worst, with 120", middle, worst)
	}
	if !drawn[0].Known || drawn[1].Known {
		t.Error("processes are told apart where they are not, or not where they are")
	}
}

func TestLatencyAt(t *testing.T) {
	var l latency
	if got := l.at(0.5); got >= 0 {
		t.Errorf("the median of nothing is %s", got)
	}
	l.add([]Took{{1, 998}, {2, 1}, {3, 1}})
	for share, want := range map[float64]time.Duration{0.5: 1, 0.99: 1, 0.998: 2, 0.999: 3, 1: 3} {
		if got := l.at(share); got != want {
			t.Errorf("at(%g) = %d, want %d", share, got, want)
		}
	}
}

// What ended one after the other is counted by the 100 ms, from the first to the last of it; what ended at once, or here and there, is not.
func TestPace(t *testing.T) {
	const handover = 0
	timeline := func(each int, ticks ...int) (line []Tick) {
		for _, i := range ticks {
			line = append(line, Tick{At: time.Duration(i) * TickLength, Ended: each})
		}
		return line
	}
	every := make([]int, 131) // 1,310 ms from 30 ms on
	for i := range every {
		every[i] = i + 3
	}
	for _, tt := range []struct {
		name string
		line []Tick
		want string
	}{
		{"even", timeline(5, every...), "rstserver handover 1,300 50 50 50"},
		{"uneven", append(timeline(5, every[:10]...), timeline(15, every[10:]...)...), "rstserver handover 1,300 50 150 150"},
		{"a gap", append(timeline(10, every[:10]...), timeline(10, every[20:]...)...), "rstserver handover 1,300 0 100 100"},
		{"at once", timeline(1000, 3, 4), ""},
		{"here and there", timeline(1, every...), ""},
		{"soon", timeline(100, every[:60]...), ""},
		{"before", timeline(100, -20, -10, -1), ""},
	} {
		d := restarts()
		for i := range d.Restarted[handover].Runs[0].Restarts {
			d.Restarted[handover].Runs[0].Restarts[i].Timeline = tt.line
		}
		got := strings.Join(strings.Fields(textIn(t, d, Options{Columns: 220})), " ")
		const title = "told one after the other"
		if tt.want == "" && strings.Contains(got, title) || !strings.Contains(got, tt.want) {
			t.Errorf("%s: want %q in the text:\n%s", tt.name, tt.want, text(t, d))
		}
	}
}

// So it is with the clients of a server that lets go.
func TestPaceOfEnding(t *testing.T) {
	d := usual()
	if strings.Contains(text(t, d), "one after the other") {
		t.Error("the text says that servers which let go at once do it one after the other")
	}
	for i := range d.Cells[0].Runs {
		run := &d.Cells[0].Runs[i]
		run.Curve = nil
		for ms := range 2000 {
			run.Curve = append(run.Curve, Step{At: time.Duration(ms) * time.Millisecond, Ending: "eof", N: 5})
		}
	}
	if got := strings.Join(strings.Fields(textIn(t, d, Options{Columns: 220})), " "); !strings.Contains(got, "2,000 500 500 500") {
		t.Errorf("the text lacks the pace:\n%s", text(t, d))
	}
}
