package prose

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                           "0 µs",
		250 * time.Microsecond:      "250 µs",
		1500 * time.Nanosecond:      "1.5 µs",
		200 * time.Millisecond:      "200 ms",
		34632 * time.Microsecond:    "34.63 ms",
		time.Second:                 "1 s",
		1140 * time.Millisecond:     "1.14 s",
		10 * time.Second:            "10 s",
		100 * time.Second:           "100 s",
		123 * time.Second:           "2 min 3 s",
		120 * time.Second:           "2 min",
		3*time.Hour + 4*time.Minute: "3 h 4 min",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%d) = %q, want %q", d, got, want)
		}
	}
}
