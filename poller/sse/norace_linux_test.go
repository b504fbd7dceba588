//go:build linux && !race

package sse

const race = false
