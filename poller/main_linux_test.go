//go:build linux

package poller

import (
	"testing"

	"go.uber.org/goleak"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) {
	lingertest.Main(m,
		// gnet's worker pool, which its import starts for good.
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
	)
}
