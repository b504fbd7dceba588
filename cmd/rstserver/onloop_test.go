package main

import (
	"testing"

	"rstserver/httpcodec"
)

// TestOnLoop checks who answers what: workers get nothing but what needs them.
func TestOnLoop(t *testing.T) {
	files := &site{files: newFiles(nil)}
	for _, tc := range []struct {
		method, path string
		site         *site
		want         bool
	}{
		{"GET", "/", files, true},
		{"POST", "/echo", files, true},
		{"GET", "/bytes", files, true},
		{"OPTIONS", "*", files, true},
		{"CONNECT", "", files, true},
		{"GET", "/nothing", files, true},
		{"GET", "/slow", files, false},
		{"HEAD", "/slow", files, false},
		{"POST", "/slow", files, true},
		{"BREW", "/slow", files, true},
		{"GET", "/slow/", files, true},
		{"GET", "//slow", files, true},
		{"GET", "/%73low", files, false},
		{"GET", "/stream", files, false},
		{"GET", "/upgrade", files, false},
		{"GET", "/files/a", files, false},
		{"GET", "/files/", files, false},
		{"GET", "/files/../x", files, false},
		{"DELETE", "/files/a", files, true},
		{"GET", "/files", files, true},
		{"GET", "/filesystem", files, true},
		{"GET", "/files/a", &site{}, true},
	} {
		r := &httpcodec.Request{Method: []byte(tc.method), Path: []byte(tc.path)}
		if got := tc.site.onLoop(r); got != tc.want {
			t.Errorf("onLoop(%s %s), with files: %t, = %t, want %t", tc.method, tc.path, tc.site.files != nil, got, tc.want)
		}
	}
}

func TestOnLoopAllocatesNothing(t *testing.T) {
	s := &site{files: newFiles(nil)}
	for _, path := range []string{"/", "/echo", "/bytes", "/files/a/rather/long/path/of/a/file/that/is/somewhere", "/slow"} {
		r := &httpcodec.Request{Method: []byte("GET"), Path: []byte(path)}
		if n := testing.AllocsPerRun(1000, func() { s.onLoop(r) }); n != 0 {
			t.Errorf("onLoop(%s) = %v allocations, want none", path, n)
		}
	}
}
