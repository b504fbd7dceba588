//go:build linux

package servers

import (
	"testing"

	"go.uber.org/goleak"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) {
	lingertest.Main(m,
		// The clocks of fasthttp and hertz, which the first server of each starts for good.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/hertz/pkg/protocol.UpdateServerDate.func1"),
	)
}
