//go:build linux

package engine

import (
	"testing"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
