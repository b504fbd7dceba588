//go:build linux

package sse

import (
	"fmt"
	"os"
	"testing"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) {
	if server := os.Getenv(memoryServer); server != "" {
		if err := serveMemory(server); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	lingertest.Main(m)
}
