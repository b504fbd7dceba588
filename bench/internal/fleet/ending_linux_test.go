//go:build linux

package fleet

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"rstserver/bench/kinds"
)

// What several processes of clients have seen becomes one: nobody is counted twice, and steps are in order.
func TestEndingsMerge(t *testing.T) {
	one := Endings{
		By: Tally{Reset: 3, Untold: 1}, Of: map[kinds.Kind]Tally{kinds.Idle: {Reset: 3}, kinds.Stuck: {Untold: 1}},
		Steps: []Step{{10, Reset, 1}, {30, Reset, 2}}, Spoke: 7,
	}
	two := Endings{
		By: Tally{Reset: 2, EOF: 1, Failed: 1}, Of: map[kinds.Kind]Tally{kinds.Idle: {Reset: 2, EOF: 1, Failed: 1}},
		Steps: []Step{{10, EOF, 1}, {20, Failed, 1}, {30, Reset, 2}}, Err: "broken", Spoke: 5,
	}
	want := Endings{
		By:    Tally{Untold: 1, Reset: 5, EOF: 1, Failed: 1},
		Of:    map[kinds.Kind]Tally{kinds.Idle: {Reset: 5, EOF: 1, Failed: 1}, kinds.Stuck: {Untold: 1}},
		Steps: []Step{{10, Reset, 1}, {10, EOF, 1}, {20, Failed, 1}, {30, Reset, 4}},
		Err:   "broken", Spoke: 5,
	}
	for _, order := range [][2]Endings{{one, two}, {two, one}} {
		var all Endings
		for _, e := range order {
			// As it comes from another process.
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var got Endings
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			all.merge(got)
		}
		if !reflect.DeepEqual(all, want) {
			t.Errorf("got %+v, want %+v", all, want)
		}
	}
	if !reflect.DeepEqual(one.Of, map[kinds.Kind]Tally{kinds.Idle: {Reset: 3}, kinds.Stuck: {Untold: 1}}) {
		t.Errorf("the first has changed: %+v", one)
	}
	if got, text := want.String(), "idle: 5 reset, 1 eof, 1 failed; stuck: 1 untold"; got != text {
		t.Errorf("got %q, want %q", got, text)
	}
	var none Endings
	none.merge(Endings{})
	if none.Spoke != 0 || len(none.Steps) != 0 {
		t.Errorf("nothing and nothing is %+v", none)
	}
}

func TestEndingsSort(t *testing.T) {
	var e Endings
	for _, at := range []time.Duration{3, 1, 2, 1, 3, 3} {
		e.add(at, Reset)
	}
	e.add(1, EOF)
	e.sort()
	if want := []Step{{1, Reset, 2}, {1, EOF, 1}, {2, Reset, 1}, {3, Reset, 3}}; !reflect.DeepEqual(e.Steps, want) {
		t.Errorf("got %v, want %v", e.Steps, want)
	}
}
