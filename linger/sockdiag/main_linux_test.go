//go:build linux

package sockdiag

import (
	"testing"

	"rstserver/linger/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
