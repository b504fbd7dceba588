//go:build linux

package engine

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) {
	if os.Getenv(gnetPanicEnv) != "" {
		gnetPanics()
	}
	lingertest.Main(m,
		// gnet's worker pool, which its import starts for good: see the contract.
		goleak.IgnoreTopFunction(antsPurge),
		goleak.IgnoreTopFunction(antsTicktock),
	)
}
