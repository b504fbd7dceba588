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

// What a program is called with to be one of the servers that are in it, with a key, an address and perhaps shareFlag, a process of
// clients, or the other end of the floor, with the address of a server, one to come from, and a number of connections.
const (
	serverCommand  = "bench-peer"
	clientsCommand = "bench-clients"
	openerCommand  = "bench-opener"
	shareFlag      = "--share" // other processes listen on the port too (SO_REUSEPORT)
)

// Helper reports whether this process was started by a Comparison, with args behind the program's name, to be one of the servers or
// clients. Then it has been that, and err says what went wrong; the process has nothing else to do.
func Helper(args []string) (helped bool, err error) {
	switch {
	case !isHelper(args):
		return false, nil
	case args[0] == clientsCommand:
		return true, fleet.Serve(os.Stdin, os.Stdout)
	case args[0] == openerCommand:
		return true, inside.Open(args[1], args[2], args[3], os.Stdin, os.Stdout)
	default:
		return true, inside.Serve(args[1], args[2], slices.Contains(args[3:], shareFlag))
	}
}

func isHelper(args []string) bool {
	return len(args) == 1 && args[0] == clientsCommand || len(args) >= 3 && args[0] == serverCommand || len(args) == 4 && args[0] == openerCommand
}

// clients is the command of a process of clients.
func clients() *exec.Cmd {
	program, err := os.Executable()
	cmd := exec.Command(program, clientsCommand)
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}
