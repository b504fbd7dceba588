package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

// serverUsage says what parseServer takes.
const serverUsage = "name=NAME,cmd=COMMAND[,signal=TERM][,port=N][,path=/][,late=PATH][,large=PATH][,stream=PATH]" +
	"[,upgrade=PATH][,protocol=NAME][,websocket=PATH][,room=PATH][,share=ARGUMENTS]"

// assignment is how a shell is told a variable in front of a command.
var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// parseServer reads a server as users give it: KEY=VALUE with commas between. A comma belongs to the value unless one of the keys and =
// come behind it.
func parseServer(s string) (bench.Server, error) {
	given, err := pairs(s)
	if err != nil {
		return bench.Server{}, err
	}
	srv := bench.Server{
		Role: report.Peer, Signal: syscall.SIGTERM,
		Paths: kinds.Paths{
			Get: "/", Late: given["late"], Large: given["large"], Stream: given["stream"], Upgrade: given["upgrade"],
			Protocol: given["protocol"], WebSocket: given["websocket"], Room: given["room"],
		},
	}
	if srv.Command, err = commandWords(given["cmd"]); err != nil {
		return bench.Server{}, fmt.Errorf("cmd=%s: %w", given["cmd"], err)
	}
	if srv.Share, err = commandWords(given["share"]); err != nil {
		return bench.Server{}, fmt.Errorf("share=%s: %w", given["share"], err)
	}
	if len(srv.Command) == 0 {
		return bench.Server{}, fmt.Errorf("%q has no cmd=COMMAND: %s", s, serverUsage)
	}
	if program := srv.Command[0]; assignment.MatchString(program) {
		return bench.Server{}, fmt.Errorf("cmd=%s: %s is no program; cmd=env %[2]s ... starts one with that variable", given["cmd"], program)
	}
	if srv.Name = given["name"]; srv.Name == "" {
		srv.Name = srv.Command[0]
	}
	if sig, ok := given["signal"]; ok {
		if srv.Signal, err = parseSignal(sig); err != nil {
			return bench.Server{}, err
		}
	}
	if port, ok := given["port"]; ok {
		if srv.Port, err = strconv.Atoi(port); err != nil || srv.Port < 1 || srv.Port > 65535 {
			return bench.Server{}, fmt.Errorf("port=%s: it has to be a number from 1 to 65535", port)
		}
	} else if !slices.ContainsFunc(srv.Command, func(a string) bool { return strings.Contains(a, "{port}") }) {
		return bench.Server{}, fmt.Errorf("cmd=%s: it lacks {port}, which stands for the port to listen on; a server that cannot be told takes port=N", given["cmd"])
	}
	if path, ok := given["path"]; ok {
		srv.Paths.Get = path
	}
	if srv.Paths.Upgrade != "" && srv.Paths.Protocol == "" {
		srv.Paths.Protocol = "websocket"
	}
	for key, path := range map[string]string{
		"path": srv.Paths.Get, "late": srv.Paths.Late, "large": srv.Paths.Large, "stream": srv.Paths.Stream, "upgrade": srv.Paths.Upgrade,
		"websocket": srv.Paths.WebSocket, "room": srv.Paths.Room,
	} {
		if key == "path" && path == "" || path != "" && (path[0] != '/' || strings.ContainsAny(path, " \t\r\n")) {
			return bench.Server{}, fmt.Errorf("%s=%s: a path begins with / and has no spaces", key, path)
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
		case ok && isServerKey(strings.TrimSpace(k)):
			key = strings.TrimSpace(k)
			if _, twice := given[key]; twice {
				return nil, fmt.Errorf("%q has %s= twice", s, key)
			}
			given[key] = v
		case i == 0:
			return nil, fmt.Errorf("%q begins with none of the keys: %s", s, serverUsage)
		default:
			given[key] += "," + part
		}
	}
	return given, nil
}

func isServerKey(name string) bool {
	return slices.ContainsFunc(serverKeys, func(key serverKey) bool { return key.name == name })
}

// parseSignal takes the name of a signal, with or without SIG, or its number.
func parseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil && unix.SignalName(syscall.Signal(n)) != "" {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("signal=%s: no signal is called that; TERM, INT, QUIT, HUP, USR1 and KILL are some", s)
}
