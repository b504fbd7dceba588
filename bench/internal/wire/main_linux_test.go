//go:build linux

package wire

import (
	"testing"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
