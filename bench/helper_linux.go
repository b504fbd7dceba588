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

// What a program is called with to be one of the servers that are in it, with a key, an address and perhaps shareFlag and tlsFlag, a
// process of clients, the other end of the floor, with the address of a server, one to come from, and a number of connections, or what holds a
// socket for a command, with an address and that.
const (
	serverCommand    = "bench-peer"
	clientsCommand   = "bench-clients"
	openerCommand    = "bench-opener"
	activatorCommand = "bench-activator"
	shareFlag        = "--share" // other processes listen on the port too (SO_REUSEPORT)
	tlsFlag          = "--tls"   // with the files of a certificate and its key: serve over TLS
)

// Helper reports whether this process was started by a Comparison, with args behind the program's name, to be one of the servers or
// clients. Then it has been that, and err says what went wrong; the process has nothing else to do.
func Helper(args []string) (helped bool, err error) {
	switch {
	case !isHelper(args):
		return false, nil
	case args[0] == clientsCommand:
		return true, fleet.Serve(os.Stdin, os.Stdout)
	case args[0] == activatorCommand:
		return true, inside.Activate(args[1], args[2:])
	case args[0] == openerCommand:
		return true, inside.Open(args[1], args[2], args[3], os.Stdin, os.Stdout)
	default:
		options := inside.Options{Share: slices.Contains(args[3:], shareFlag)}
		if i := slices.Index(args, tlsFlag); i > 0 && i+2 < len(args) {
			options.Cert, options.Key = args[i+1], args[i+2]
		}
		return true, inside.Serve(args[1], args[2], options)
	}
}

func isHelper(args []string) bool {
	return len(args) == 1 && args[0] == clientsCommand || len(args) >= 3 && args[0] == serverCommand || len(args) == 4 && args[0] == openerCommand ||
		len(args) >= 3 && args[0] == activatorCommand
}

// clientsProgram is the program of a process of clients.
var clientsProgram = os.Executable

// clients is the command of a process of clients.
func clients() *exec.Cmd {
	program, err := clientsProgram()
	cmd := exec.Command(program, clientsCommand)
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}
