package main

import (
	"os"
	"syscall"
	"testing"
)

func TestPhaseAfter(t *testing.T) {
	const term, intr, quit, usr1 = syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1
	for _, tc := range []struct {
		name       string
		from       phase
		sigs       []os.Signal
		termDrains bool
		want       phase
	}{
		{name: "abort", from: serving, sigs: []os.Signal{term, intr}, want: aborting},
		{name: "abort a release", from: releasing, sigs: []os.Signal{term, intr}, want: aborting},
		{name: "abort a drain", from: draining, sigs: []os.Signal{term, intr}, want: aborting},
		{name: "leave an abort", from: aborting, sigs: []os.Signal{term, intr}, want: exiting},

		{name: "drain by SIGTERM", from: serving, sigs: []os.Signal{term, intr}, termDrains: true, want: draining},
		{name: "drain a release by SIGTERM", from: releasing, sigs: []os.Signal{term, intr}, termDrains: true, want: draining},
		{name: "abort a drain by SIGTERM", from: draining, sigs: []os.Signal{term, intr}, termDrains: true, want: aborting},
		{name: "leave an abort after drains", from: aborting, sigs: []os.Signal{term, intr}, termDrains: true, want: exiting},

		{name: "drain", from: serving, sigs: []os.Signal{quit}, want: draining},
		{name: "drain a release", from: releasing, sigs: []os.Signal{quit}, want: draining},
		{name: "drain a drain", from: draining, sigs: []os.Signal{quit}, want: draining},
		{name: "drain an abort", from: aborting, sigs: []os.Signal{quit}, want: aborting},

		{name: "release", from: serving, sigs: []os.Signal{usr1}, want: releasing},
		{name: "release a release", from: releasing, sigs: []os.Signal{usr1}, want: releasing},
		{name: "release a drain", from: draining, sigs: []os.Signal{usr1}, want: draining},
		{name: "release an abort", from: aborting, sigs: []os.Signal{usr1}, want: aborting},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, sig := range tc.sigs {
				if got := tc.from.after(sig, tc.termDrains); got != tc.want {
					t.Errorf("%s.after(%s, %t) = %s, want %s", tc.from, signalName(sig), tc.termDrains, got, tc.want)
				}
			}
		})
	}
}
