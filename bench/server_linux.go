//go:build linux

package bench

import (
	"syscall"

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
	Scaling Scaling
	// Share are arguments that are added when several processes of the command serve one port, which needs SO_REUSEPORT.
	Share []string
	// Opener is a program, which needs no more to do it than bare system calls, that opens idle connections to it: what clients take to
	// open theirs is compared with that. Nil: there is none.
	Opener []string
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
	Get: "/", Late: "/slow?ms={ms}", Large: "/bytes?n=1000000000", Stream: "/stream?chunks=1000000&bytes=100&ms=1000",
	Upgrade: "/upgrade", Protocol: "echo",
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
