//go:build linux

package interop

import (
	"testing"

	"go.uber.org/goleak"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) {
	lingertest.Main(m,
		// fasthttp's clock, which its first server starts for good.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}
