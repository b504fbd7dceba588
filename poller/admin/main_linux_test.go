//go:build linux

package admin_test

import (
	"testing"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }
