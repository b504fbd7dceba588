package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

// serverUsage says what parseServer takes.
const serverUsage = "name=NAME,cmd=COMMAND[,signal=TERM][,port=N][,path=/][,late=PATH][,large=PATH][,stream=PATH]" +
	"[,upgrade=PATH][,protocol=NAME][,websocket=PATH][,room=PATH][,events=PATH][,event-room=PATH][,share=ARGUMENTS][,tls=ARGUMENTS]" +
	"[,post=PATH][,upload=PATH][,pidfile=FILE][,process=FIELD][,successor=]"

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
			Events: given["events"], EventRoom: given["event-room"],
			Post: given["post"], Upload: given["upload"],
		},
		PIDFile: given["pidfile"], Process: given["process"],
	}
	if srv.Paths.Upload == "" {
		srv.Paths.Upload = srv.Paths.Post
	}
	if srv.Command, err = commandWords(given["cmd"]); err != nil {
		return bench.Server{}, fmt.Errorf("cmd=%s: %w", given["cmd"], err)
	}
	if srv.Share, err = commandWords(given["share"]); err != nil {
		return bench.Server{}, fmt.Errorf("share=%s: %w", given["share"], err)
	}
	if args, ok := given["tls"]; ok {
		words, err := commandWords(args)
		if err != nil {
			return bench.Server{}, fmt.Errorf("tls=%s: %w", args, err)
		}
		srv.TLS = append([]string{}, words...) // without any, it serves over TLS in any case
	}
	if value, ok := given["successor"]; ok {
		if value != "" {
			return bench.Server{}, fmt.Errorf("successor=%s: it has no value", value)
		}
		srv.Successor = true
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
		if srv.Signal, err = bench.ParseSignal(sig); err != nil {
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
		"websocket": srv.Paths.WebSocket, "room": srv.Paths.Room, "events": srv.Paths.Events, "event-room": srv.Paths.EventRoom,
		"post": srv.Paths.Post, "upload": srv.Paths.Upload,
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
