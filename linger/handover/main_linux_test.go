//go:build linux

package handover_test

import (
	"os"
	"testing"

	"rstserver/internal/lingertest"
)

// programs are what this test binary is when programEnv names one: those that hand over.
var programs = map[string]func(){}

const programEnv = "HANDOVER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if program := programs[os.Getenv(programEnv)]; program != nil {
		program()
		os.Exit(0)
	}
	lingertest.Main(m)
}
