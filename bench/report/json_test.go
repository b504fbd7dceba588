package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func inJSON(t *testing.T, d *Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// fewer leaves out runs of d under -short, and steps of them: of each configuration, every one is written like the first, or like one of
// the first three that were recorded.
func fewer(d *Document) *Document {
	if testing.Short() {
		for i := range d.Cells {
			c := &d.Cells[i]
			c.Runs, c.Wired = c.Runs[:min(1, len(c.Runs))], c.Wired[:min(3, len(c.Wired))]
			for _, runs := range [][]Run{c.Runs, c.Wired} {
				for i := range runs {
					r := &runs[i]
					r.Curve = r.Curve[:min(2, len(r.Curve))]
					if r.Wire != nil {
						r.Wire.Curve = r.Wire.Curve[:min(2, len(r.Wire.Curve))]
					}
				}
			}
		}
	}
	return d
}

func TestJSONRoundTrip(t *testing.T) {
	for name, d := range map[string]*Document{"usual": usual(), "grown": grown(), "wired": wired("idle"), "unwired": unwired(), "nasty": nasty(), "empty": empty(), "restarts": restarts()} {
		fewer(d)
		got, err := Read(strings.NewReader(inJSON(t, d)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: what was read is not what was written (-written +read):\n%s", name, diff)
		}
	}
}

// The layout changes blanks only.
func TestJSONIsWhatMarshalGives(t *testing.T) {
	got := inJSON(t, fewer(nasty()))
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(got)); err != nil {
		t.Fatal(err)
	}
	d, err := Read(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if compact.String() != string(want) {
		t.Errorf("without blanks it is\n%s\nwant\n%s", compact.String(), want)
	}
}

func TestJSONLayout(t *testing.T) {
	d := &Document{Version: Version, Cells: []Cell{{Server: "ends with {", Runs: []Run{{
		Free: &Moment{At: 2, Before: 1}, Curve: []Step{{1, "reset", 2}, {3, "eof", 4}}, Endings: map[string]int{"[": 1},
	}}}}}
	got := inJSON(t, d)
	for _, want := range []string{
		`"free": {"at_ns": 2, "before_ns": 1},` + "\n",
		`{"at_ns": 1, "ending": "reset", "n": 2},` + "\n",
		`"server": "ends with {",` + "\n",
		`"endings": {"[": 1},` + "\n",
		`"refused": null,`, `"told_ns": null,`, `"gone_ns": null,`,
		`"command": [],`, `"sysctl": {},`, `"left": [],`, `"holders": [],`, `"endings_by_kind": {},`, `"kernel": {},`,
		`"skipped": [],`, `"failed": [],`, `"warnings": []`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("does not have %q:\n%s", want, got)
		}
	}
	if got := strings.Count(got, "null"); got != 3 {
		t.Errorf("null occurs %d times, want 3, for the figures that are missing", got)
	}
	if d.Command != nil || d.Cells[0].Runs[0].Left != nil {
		t.Errorf("writing changed the document")
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   io.Reader
		want string
	}{
		{"another version", strings.NewReader(`{"version": 99, "cells": "new"}`), "version 99 of the format, this program reads version 1"},
		{"no version", strings.NewReader(`{"cells": []}`), `no member "version"`},
		{"not JSON", strings.NewReader(`server port free`), "invalid character"},
		{"cut off", strings.NewReader(inJSON(t, usual())[:1000]), "unexpected end"},
		{"a state that is none", strings.NewReader(`{"version": 1, "cells": [{"runs": [{"left": [{"states": {"half-open": 1}}]}]}]}`), "half-open"},
		{"a broken file", iotest.ErrReader(io.ErrClosedPipe), "closed pipe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d, err := Read(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read = %v, %v, want an error with %q", d, err, tt.want)
			}
		})
	}
}
