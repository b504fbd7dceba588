//go:build linux

package poller

import (
	"testing"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
