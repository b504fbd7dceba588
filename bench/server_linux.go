//go:build linux

package bench

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/process"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

// Server is what is measured: a program that listens on a port of 127.0.0.1, and the way in which it is told to end.
type Server struct {
	Name  string
	About string
	Role  report.Role
	// Command is the program and its arguments. In each of them {port} stands for the port. It has to listen on 127.0.0.1
	// or on all addresses.
	Command []string
	Env     []string // added to the environment of this process
	Port    int      // that it listens on whatever it is told; 0: one that is free takes the place of {port}
	Signal  syscall.Signal
	Paths   kinds.Paths
	// Way is how it is restarted, of a Restarts.
	Way Way
	// PIDFile is a file in which a restarted server leaves the number of the process that serves. {dir} in it, as in Command and in the
	// commands of Way, is a directory of each run, and {pidfile} in these is {dir}/pid, which is then the file. Empty: there is none.
	PIDFile string
	// Process is the name of the field of its answers whose value tells its processes apart. Empty: there is none.
	Process string
	Scaling Scaling
	// Successor is one whose signal has it hand over: what it starts goes on, is not waited for, and is ended with the run.
	Successor bool
	// Share are arguments that are added when several processes of the command serve one port, which needs SO_REUSEPORT.
	Share []string
	// Opener is a program, which needs no more to do it than bare system calls, that opens idle connections to it: what clients take to
	// open theirs is compared with that. Nil: there is none.
	Opener []string
	// TLS are arguments that are added to have it serve over TLS. {cert} and {key} in them, as in Command, are files of a certificate that is
	// made for the measurement, for 127.0.0.1, and of its key, in PEM. Nil: it cannot.
	TLS []string
	// HTTP1 is a server that has no HTTP/2 over TLS.
	HTTP1 bool
	// Bare is a server that has no part of TLS at all, and is measured where others are over TLS with clients that do no more than connect.
	Bare bool
	// Version returns the version of what is measured, or nothing where that is not known. Nil: it is not.
	Version func() string
	// Needs is a file without which it cannot be started, and Remedy is the command that makes it.
	Needs, Remedy string

	// overdue returns what ends the time that the server may take to end, when it is closed. Tests have it, so as to wait for what a
	// server does and not for a time in which it may have. Nil: that time ends by itself.
	overdue func(*process.Family) <-chan struct{}
}

// ourPaths are those of rstserver and of the peers.
var ourPaths = kinds.Paths{
	Get: "/", Post: "/echo", Upload: "/echo", Late: "/slow?ms={ms}", Large: "/bytes?n=1000000000", Stream: "/stream?chunks=1000000&bytes=100&ms=1000",
	Upgrade: "/upgrade", Protocol: "echo", Events: "/events?ms=1000", EventRoom: "/events/room",
}

// withWebSocket is p with the paths of rstserver's WebSockets.
func withWebSocket(p kinds.Paths) kinds.Paths {
	p.WebSocket, p.Room = "/ws", "/ws/room"
	return p
}

// Scaling is how a server holds more connections than one process may have descriptors.
type Scaling uint8

// The ways.
const (
	Again  Scaling = iota // the same command once more, on the same port
	Alone                 // not at all
	Itself                // it has processes of its own for that
)

// words are those of a command for one run, in which files are in dir.
func (s Server) words(command []string, addr netip.AddrPort, dir string) []string {
	run := strings.NewReplacer("{port}", strconv.Itoa(int(addr.Port())), "{pidfile}", filepath.Join(dir, pidName), "{dir}", dir,
		"{cert}", filepath.Join(dir, certName), "{key}", filepath.Join(dir, keyName))
	command = slices.Clone(command)
	for i := range command {
		command[i] = run.Replace(command[i])
	}
	return command
}

const pidName = "pid"

// pidFile is that of one run; empty: there is none.
func (s Server) pidFile(dir string) string {
	if s.PIDFile == "" && slices.ContainsFunc(s.Command, func(a string) bool { return strings.Contains(a, "{pidfile}") }) {
		return filepath.Join(dir, pidName)
	}
	return strings.ReplaceAll(s.PIDFile, "{dir}", dir)
}

// told is how the report says that it is told.
func (s Server) told() string {
	if len(s.Way.Steps) > 0 {
		return s.Way.Text
	}
	return unix.SignalName(s.Signal)
}
