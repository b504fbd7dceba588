//go:build linux

package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"rstserver/internal/lingertest"
)

// clientsArgument makes the test's program a process of clients.
const clientsArgument = "clients"

func clients() *exec.Cmd { return exec.Command(os.Args[0], clientsArgument) }

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == clientsArgument {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	lingertest.Main(m)
}
