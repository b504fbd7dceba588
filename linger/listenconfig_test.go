package linger

import (
	"math"
	"strings"
	"testing"
)

func TestListenConfigCheck(t *testing.T) {
	for _, tt := range []struct {
		config ListenConfig
		want   string // a part of the error; empty: none
	}{
		{ListenConfig{}, ""},
		{ListenConfig{Delay: 1, Queue: 1, LameDuck: 1, Spread: 1, Idle: 1}, ""},
		{ListenConfig{Queue: -1}, ""},
		{ListenConfig{Delay: -1}, "ListenConfig.Delay"},
		{ListenConfig{Queue: math.MaxInt64}, "ListenConfig.Queue"},
		{ListenConfig{LameDuck: -1}, "ListenConfig.LameDuck"},
		{ListenConfig{Spread: -1}, "ListenConfig.Spread"},
		{ListenConfig{Spread: math.MaxInt64}, "ListenConfig.Spread"},
		{ListenConfig{Idle: -1}, "ListenConfig.Idle"},
	} {
		err := tt.config.check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v.check() = %v, want %q", tt.config, err, tt.want)
		}
	}
}
