package linger

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	const none = -1
	for _, tt := range []struct {
		name     string
		spread   Spread
		deadline time.Duration
		want     timeline
	}{
		{"nothing asked", Spread{}, none, timeline{end: -1}},
		{"a deadline alone", Spread{}, 30, timeline{cutBegin: 30, end: 30}},
		{"the last of the time", Spread{Window: 10}, 30, timeline{cutBegin: 20, end: 30}},
		{"all of the time", Spread{Window: 10}, 10, timeline{cutBegin: 0, end: 10}},
		{"too little time", Spread{Window: 10}, 4, timeline{cutBegin: 0, end: 4}},
		{"no time", Spread{Window: 10}, 0, timeline{}},
		{"no deadline", Spread{Window: 10}, none, timeline{cutBegin: 0, end: 10}},
		{"idle", Spread{Window: 10, Idle: 1}, 30, timeline{idleEnd: 10, cutBegin: 20, end: 30}},
		{"idle, all of the time", Spread{Window: 10, Idle: 1}, 20, timeline{idleEnd: 10, cutBegin: 10, end: 20}},
		{"idle, too little time", Spread{Window: 10, Idle: 1}, 8, timeline{idleEnd: 4, cutBegin: 4, end: 8}},
		{"idle, no deadline", Spread{Window: 10, Idle: 1}, none, timeline{idleEnd: 10, cutBegin: 10, end: 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.spread.timeline(tt.deadline); got != tt.want {
				t.Errorf("%+v.timeline(%d) = %+v, want %+v", tt.spread, tt.deadline, got, tt.want)
			}
		})
	}
}

func TestSpreadCheck(t *testing.T) {
	for _, tt := range []struct {
		spread Spread
		want   string // a part of the error; empty: none
	}{
		{Spread{}, ""},
		{Spread{Window: 1}, ""},
		{Spread{Window: 1, Idle: 1}, ""},
		{Spread{Window: -1}, "Spread.Window"},
		{Spread{Window: math.MaxInt64}, "Spread.Window"},
		{Spread{Window: 1, Idle: -1}, "Spread.Idle"},
		{Spread{Idle: 1}, "Spread.Window"},
	} {
		err := tt.spread.check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v.check() = %v, want %q", tt.spread, err, tt.want)
		}
	}
}
