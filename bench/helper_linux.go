//go:build linux

package bench

import (
	"errors"
	"os"
	"os/exec"
	"slices"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/inside"
)

// What a program is called with to be one of the servers that are in it, with a key, an address and perhaps shareFlag, or a process of
// clients.
const (
	serverCommand  = "bench-peer"
	clientsCommand = "bench-clients"
	shareFlag      = "--share" // other processes listen on the port too (SO_REUSEPORT)
)

// Helper reports whether this process was started by a Comparison, with args behind the program's name, to be one of the servers or a
// process of clients. Then it has been that, and err says what went wrong; the process has nothing else to do.
func Helper(args []string) (helped bool, err error) {
	switch {
	case !isHelper(args):
		return false, nil
	case args[0] == clientsCommand:
		return true, fleet.Serve(os.Stdin, os.Stdout)
	default:
		return true, inside.Serve(args[1], args[2], slices.Contains(args[3:], shareFlag))
	}
}

func isHelper(args []string) bool {
	return len(args) == 1 && args[0] == clientsCommand || len(args) >= 3 && args[0] == serverCommand
}

// clients is the command of a process of clients.
func clients() *exec.Cmd {
	program, err := os.Executable()
	cmd := exec.Command(program, clientsCommand)
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}
