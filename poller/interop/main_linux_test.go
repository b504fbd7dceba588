//go:build linux

package interop

import (
	"testing"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
