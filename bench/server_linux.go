//go:build linux

package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

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
	Paths   Paths
	Scaling Scaling
	// Share are arguments that are added when several processes of the command serve one port, which needs SO_REUSEPORT.
	Share []string
	// Version returns the version of what is measured, or nothing where that is not known. Nil: it is not.
	Version func() string
	// Needs is a file without which it cannot be started, and Remedy is the command that makes it.
	Needs, Remedy string

	// overdue returns what ends the time that the server may take to end, when it is closed. Tests have it, so as to wait for what a
	// server does and not for a time in which it may have. Nil: that time ends by itself.
	overdue func(*Processes) <-chan struct{}
}

// Paths are the request-targets that kinds of connections need. An empty one is missing.
type Paths struct {
	Get     string `json:"get"`               // a small answer, and the connection is kept
	Late    string `json:"late,omitempty"`    // answered late; {ms} in it stands for milliseconds
	Large   string `json:"large,omitempty"`   // an answer larger than any send buffer
	Stream  string `json:"stream,omitempty"`  // an answer without an end
	Upgrade string `json:"upgrade,omitempty"` // 101 to an Upgrade to Protocol
	// Protocol is that of Upgrade. An upgraded connection of the protocol "echo" gets back what it sends, once, before it
	// counts as ready.
	Protocol string `json:"protocol,omitempty"`
}

// OurPaths are those of rstserver and of the peers.
var OurPaths = Paths{
	Get: "/", Late: "/slow?ms={ms}", Large: "/bytes?n=1000000000", Stream: "/stream?chunks=1000000&bytes=100&ms=1000",
	Upgrade: "/upgrade", Protocol: "echo",
}

// Scaling is how a server holds more connections than one process may have descriptors.
type Scaling uint8

// The ways.
const (
	Again  Scaling = iota // the same command once more, on the same port
	Alone                 // not at all
	Itself                // it has processes of its own for that
)

// serverKeys are the keys of ParseServer.
var serverKeys = []string{"name", "cmd", "signal", "port", "path", "late", "large", "stream", "upgrade", "protocol", "share"}

// ServerUsage says what ParseServer takes.
const ServerUsage = "name=NAME,cmd=COMMAND[,signal=TERM][,port=N][,path=/][,late=PATH][,large=PATH][,stream=PATH]" +
	"[,upgrade=PATH][,protocol=NAME][,share=ARGUMENTS]"

// ParseServer reads a server as users give it: KEY=VALUE with commas between. A comma belongs to the value unless one of the
// keys and = come behind it. words takes a command line apart.
func ParseServer(s string, words func(string) ([]string, error)) (Server, error) {
	given, err := pairs(s)
	if err != nil {
		return Server{}, err
	}
	srv := Server{
		Role: report.Peer, Signal: syscall.SIGTERM,
		Paths: Paths{
			Get: "/", Late: given["late"], Large: given["large"], Stream: given["stream"], Upgrade: given["upgrade"],
			Protocol: given["protocol"],
		},
	}
	if srv.Command, err = words(given["cmd"]); err != nil {
		return Server{}, fmt.Errorf("cmd=%s: %w", given["cmd"], err)
	}
	if srv.Share, err = words(given["share"]); err != nil {
		return Server{}, fmt.Errorf("share=%s: %w", given["share"], err)
	}
	if len(srv.Command) == 0 {
		return Server{}, fmt.Errorf("%q has no cmd=COMMAND: %s", s, ServerUsage)
	}
	if srv.Name = given["name"]; srv.Name == "" {
		srv.Name = srv.Command[0]
	}
	if sig, ok := given["signal"]; ok {
		if srv.Signal, err = ParseSignal(sig); err != nil {
			return Server{}, err
		}
	}
	if port, ok := given["port"]; ok {
		if srv.Port, err = strconv.Atoi(port); err != nil || srv.Port < 1 || srv.Port > 65535 {
			return Server{}, fmt.Errorf("port=%s: it has to be a number from 1 to 65535", port)
		}
	} else if !slices.ContainsFunc(srv.Command, func(a string) bool { return strings.Contains(a, "{port}") }) {
		return Server{}, fmt.Errorf("cmd=%s: it lacks {port}, which stands for the port to listen on; a server that cannot be told takes port=N", given["cmd"])
	}
	if path, ok := given["path"]; ok {
		srv.Paths.Get = path
	}
	if srv.Paths.Upgrade != "" && srv.Paths.Protocol == "" {
		srv.Paths.Protocol = "websocket"
	}
	for key, path := range map[string]string{
		"path": srv.Paths.Get, "late": srv.Paths.Late, "large": srv.Paths.Large, "stream": srv.Paths.Stream, "upgrade": srv.Paths.Upgrade,
	} {
		if key == "path" && path == "" || path != "" && (path[0] != '/' || strings.ContainsAny(path, " \t\r\n")) {
			return Server{}, fmt.Errorf("%s=%s: a path begins with / and has no spaces", key, path)
		}
	}
	return srv, nil
}

// pairs takes s apart. Each key may be given once.
func pairs(s string) (map[string]string, error) {
	given := make(map[string]string)
	var key string
	for i, part := range strings.Split(s, ",") {
		k, v, ok := strings.Cut(part, "=")
		switch {
		case ok && slices.Contains(serverKeys, strings.TrimSpace(k)):
			key = strings.TrimSpace(k)
			if _, twice := given[key]; twice {
				return nil, fmt.Errorf("%q has %s= twice", s, key)
			}
			given[key] = v
		case i == 0:
			return nil, fmt.Errorf("%q begins with none of the keys: %s", s, ServerUsage)
		default:
			given[key] += "," + part
		}
	}
	return given, nil
}

// target is the path with its {ms} filled in.
func (p Paths) late(d time.Duration) string {
	return strings.ReplaceAll(p.Late, "{ms}", strconv.FormatInt(d.Milliseconds(), 10))
}
