//go:build linux

package linger

import (
	"testing"

	"rstserver/linger/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
