package report

import (
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	type ints = []time.Duration
	tests := []struct {
		name     string
		measured ints
		of       int
		want     Spread[time.Duration]
		settled  bool
	}{
		{"no runs", nil, 0, Spread[time.Duration]{}, false},
		{"one run", ints{7}, 1, Spread[time.Duration]{7, 7, 7, 1, 1}, true},
		{"one run without it", nil, 1, Spread[time.Duration]{Of: 1}, false},
		{"odd", ints{9, 1, 5}, 3, Spread[time.Duration]{5, 1, 9, 3, 3}, true},
		{"even: mean of the middle two", ints{10, 1, 6, 3}, 4, Spread[time.Duration]{4, 1, 10, 4, 4}, true},
		{"two of five missing: the third of all", ints{9, 1, 5}, 5, Spread[time.Duration]{9, 1, 9, 3, 5}, true},
		{"one of four missing: mean of the second and third", ints{9, 1, 5}, 4, Spread[time.Duration]{7, 1, 9, 3, 4}, true},
		{"half missing", ints{1, 5}, 4, Spread[time.Duration]{0, 1, 5, 2, 4}, false},
		{"most missing", ints{5}, 5, Spread[time.Duration]{0, 5, 5, 1, 5}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := spreadOf(tt.measured, tt.of)
			if got != tt.want || got.Settled() != tt.settled {
				t.Errorf("spreadOf(%v, %d) = %+v, settled %v, want %+v, %v", tt.measured, tt.of, got, got.Settled(), tt.want, tt.settled)
			}
		})
	}
}

func TestFigures(t *testing.T) {
	told, gone := 20*time.Millisecond, 30*time.Millisecond
	c := Cell{N: 10, Runs: []Run{
		{Free: &Moment{At: 10, Before: 3}, Refused: &Moment{At: 4, Before: 1}, Told: &told, Gone: &gone, CPU: 5, Resident: 6, Grown: 70},
		{Free: &Moment{At: 12, Before: 11}},
		{Free: &Moment{At: 11, Before: 10}},
	}}
	f := c.Figures()
	if want := (Spread[time.Duration]{11, 10, 12, 3, 3}); f.Free != want {
		t.Errorf("Free = %+v, want %+v, by the time at which it was seen", f.Free, want)
	}
	for name, s := range map[string]Spread[time.Duration]{"Refused": f.Refused, "Told": f.Told, "Gone": f.Gone, "CPU": f.CPU} {
		if s.N != 1 || s.Of != 3 || s.Settled() || s.Min == 0 {
			t.Errorf("%s = %+v, want 1 of 3 runs, and no median", name, s)
		}
	}
	if f.Resident != (Spread[int64]{0, 6, 6, 1, 3}) {
		t.Errorf("Resident = %+v, want 1 of 3 runs", f.Resident)
	}
	if f.Grown != (Spread[int64]{0, 7, 7, 1, 3}) {
		t.Errorf("Grown = %+v, want 1 of 3 runs, by the connection", f.Grown)
	}
}

func TestScattered(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name       string
		measured   []time.Duration
		resolution time.Duration
		want       bool
	}{
		{"none", nil, 0, false},
		{"one run", []time.Duration{50 * ms}, 0, false},
		{"close together", []time.Duration{50 * ms, 60 * ms, 55 * ms, 52 * ms, 51 * ms}, ms, false},
		{"one run of five disturbed", []time.Duration{50 * ms, 52 * ms, 55 * ms, 54 * ms, 500 * ms}, ms, false},
		{"two of five", []time.Duration{50 * ms, 52 * ms, 55 * ms, 400 * ms, 500 * ms}, ms, true},
		{"everywhere", []time.Duration{50 * ms, 80 * ms, 120 * ms, 200 * ms, 300 * ms}, ms, true},
		{"two runs", []time.Duration{50 * ms, 150 * ms}, ms, true},
		{"within what the probe resolves", []time.Duration{ms / 2, ms, 2 * ms}, ms, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := scattered(tt.measured, tt.resolution); got != tt.want {
				t.Errorf("scattered(%v, %v) = %v, want %v", tt.measured, tt.resolution, got, tt.want)
			}
		})
	}
}
