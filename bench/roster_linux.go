//go:build linux

package bench

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

// Roster is the servers that the benchmark knows, by the names that users call them by.
type Roster []Known

// Known is a server of the roster.
type Known struct {
	Key    string   // the name that users call it by
	Groups []string // other names, that stand for several
	Server
}

// Groups of the roster.
const (
	AllServers     = "all"
	DefaultServers = "default"
	// webSocketServers are those with WebSockets.
	webSocketServers = "websocket"
)

// never is longer than any run.
const never = 24 * time.Hour

// byTLSFlag are the arguments by which the servers in this program, and most of those that bench/peers starts, serve over TLS.
var byTLSFlag = []string{tlsFlag, "{cert}", "{key}"}

// NewRoster is what there is to compare with: program, which is rstserver with serve and calls [Helper], and what is installed in
// peersDir. remedy is the command that installs that.
func NewRoster(program, peersDir, remedy string) Roster {
	ours := func(args ...string) []string {
		// Opening a million connections takes longer than clients usually may have nothing to say. What keeps the time runs all the same.
		command := []string{program, "serve", "--addr", "127.0.0.1:{port}", "--quiet"}
		for _, name := range []string{"idle", "header", "write"} {
			command = append(command, "--"+name+"-timeout", never.String())
		}
		return append(command, args...)
	}
	own := func(key, name, about string, sig syscall.Signal, command []string, groups ...string) Known {
		return Known{key, append(groups, "ours", webSocketServers), Server{
			Name: name, About: about, Role: report.Ours, Command: command, Signal: sig, Paths: withWebSocket(ourPaths), Share: []string{"--reuseport"},
			TLS: []string{"--tls-cert", "{cert}", "--tls-key", "{key}"}, Version: programVersion,
		}}
	}
	inside := func(key, name, about string, role report.Role, paths kinds.Paths, groups ...string) Known {
		version, secure := runtime.Version, byTLSFlag
		if role == report.Floor {
			version, secure = programVersion, nil
		}
		return Known{key, groups, Server{
			Name: name, About: about, Role: role, Command: []string{program, serverCommand, key, "127.0.0.1:{port}"},
			Signal: syscall.SIGTERM, Paths: paths, Share: []string{shareFlag}, TLS: secure, Bare: role == report.Floor, Version: version,
		}}
	}
	paired := func(k Known) Known {
		k.Opener = []string{program, openerCommand}
		return k
	}
	killed := func(k Known, key string) Known {
		k.Key, k.Signal = key, syscall.SIGKILL
		return k
	}
	foreign := func(key, name, about string, scaling Scaling, paths kinds.Paths, file string, args ...string) Known {
		path := filepath.Join(peersDir, file)
		command := append([]string{path}, args...)
		if strings.HasSuffix(file, ".js") {
			command = append([]string{"node", path}, args...)
			path = filepath.Join(peersDir, "node", "node_modules", ".package-lock.json") // comes last
		}
		return Known{key, nil, Server{
			Name: name, About: about, Role: report.Peer, Command: append(command, "127.0.0.1:{port}"), Signal: syscall.SIGTERM,
			Paths: paths, Scaling: scaling, Needs: path, Remedy: remedy,
		}}
	}
	peerPaths := ourPaths
	peerPaths.Stream = ""
	only := kinds.Paths{Get: "/"}
	late := kinds.Paths{Get: "/", Late: ourPaths.Late, Large: ourPaths.Large}
	events := late
	events.Events = ourPaths.Events
	large := kinds.Paths{Get: "/", Large: ourPaths.Large}
	node := func(way, about, npm string) Known {
		k := foreign("node-"+way, "Node "+way, about, Alone, peerPaths, filepath.Join("node", "server.js"), way)
		k.Groups, k.TLS, k.HTTP1 = []string{"node"}, byTLSFlag, true
		k.Version = packageVersion(filepath.Join(peersDir, "node"), npm)
		return k
	}
	module := func(k Known, path string) Known {
		k.Version = moduleVersion(k.Needs, path)
		return k
	}
	stopped := func(key, name, about string, sig syscall.Signal, scaling Scaling, paths kinds.Paths, script string, version func() string) Known {
		k := foreign(key, name, about, scaling, paths, script)
		k.Signal, k.Version = sig, version
		return k
	}
	secure := func(k Known) Known {
		k.TLS = byTLSFlag
		return k
	}
	// Without Get, as nobody would learn more of their idle connections than from net/http's.
	webSockets := withWebSocket(kinds.Paths{})
	webSocket := func(key, name, about string, file string, args ...string) Known {
		k := foreign(key, name, about, Alone, webSockets, file, args...)
		k.Groups = []string{webSocketServers}
		return k
	}
	unasked := func(k Known, name string) Known {
		k.Name, k.About = name, "SIGKILL: the kernel closes what it had open"
		return killed(k, k.Key+"-kill")
	}
	nodeWebSocket := func(way, about string) Known {
		k := node(way, about, "ws")
		k.Paths, k.TLS = webSockets, nil
		k.Groups = append(k.Groups, webSocketServers)
		return k
	}
	front := func(key, name, about, ends string) Known {
		proxy, _, _ := strings.Cut(key, "-")
		k := webSocket(key, name, about, "front", proxy, ends, filepath.Join(peersDir, "pooled"))
		k.Version = commandVersion(proxy, "-v", map[string]string{"nginx": "nginx/", "haproxy": "version "}[proxy])
		return k
	}
	handler := webSocket("rstserver-handler", "rstserver http.Handler", "WebSockets of http.Handlers; SIGTERM: every connection is reset", "pooled")
	handler.Role, handler.Version = report.Ours, programVersion
	coder := module(webSocket("coder", "coder/websocket", "net/http's Shutdown, and Close of each WebSocket", "coder"), "github.com/coder/websocket")
	gorilla := module(webSocket("gorilla", "gorilla/websocket", "net/http's Shutdown, and a close frame to each WebSocket", "gorilla"), "github.com/gorilla/websocket")
	gws := module(webSocket("gws", "gws", "net/http's Shutdown, and WriteClose of each WebSocket", "gws"), "github.com/lxzan/gws")
	nbioWebSocket := module(webSocket("nbio-ws", "nbio WebSocket", "nbhttp's Engine.Shutdown, for 3 s", "nbiows"), "github.com/lesismal/nbio")
	nginx := commandVersion("nginx", "-v", "nginx/")
	haproxy := commandVersion("haproxy", "-v", "version ")
	apache := commandVersion("apache2", "-v", "Apache/")
	lighttpd := commandVersion("lighttpd", "-v", "lighttpd/")
	gunicorn := commandVersion("gunicorn", "--version", "version ")
	caddy := moduleVersion(filepath.Join(peersDir, "caddy-server"), "github.com/caddyserver/caddy/v2")
	return Roster{
		own("rstserver", "rstserver abort", "SIGTERM: every connection is reset", syscall.SIGTERM, ours(), DefaultServers),
		own("rstserver-drain", "rstserver drain", "SIGTERM with --on-term drain: what is in flight is answered first, for 8 s", syscall.SIGTERM,
			ours("--on-term", "drain", "--drain-timeout", "8s"), DefaultServers),
		own("rstserver-kill", "rstserver kill -9", "SIGKILL: the kernel resets, since connections are armed", syscall.SIGKILL, ours(), DefaultServers),
		paired(inside("floor", "floor", "bare epoll and system calls; connect(AF_UNSPEC) on each socket, then close, from a thread on each processor",
			report.Floor, withWebSocket(only), DefaultServers, webSocketServers)),
		inside("floor-linger", "floor linger", "the same with close alone, of sockets with SO_LINGER from their listener", report.Floor, only),
		killed(inside("floor-linger", "floor kill -9", "SIGKILL: what a process takes to end that holds as many of these", report.Floor, only), "floor-kill"),
		inside("nethttp-close", "net/http Close", "Server.Close", report.Peer, ourPaths, DefaultServers, "nethttp"),
		inside("nethttp-shutdown", "net/http Shutdown", "Server.Shutdown", report.Peer, ourPaths, "nethttp"),
		inside("nethttp-map", "net/http map + SetLinger(0)", "a map of connections, each armed, and then Server.Close", report.Peer, ourPaths, "nethttp"),
		module(foreign("fasthttp", "fasthttp Shutdown", "Server.Shutdown, with CloseOnShutdown", Alone, peerPaths, "fasthttp"), "github.com/valyala/fasthttp"),
		module(foreign("gnet", "gnet Stop", "Engine.Stop", Alone, only, "gnet"), "github.com/panjf2000/gnet/v2"),
		module(foreign("nbio", "nbio Stop", "nbhttp's Engine.Stop", Alone, peerPaths, "nbio"), "github.com/lesismal/nbio"),
		secure(stopped("nginx", "nginx SIGTERM", "its fast shutdown", syscall.SIGTERM, Itself, late, "nginx", nginx)),
		secure(stopped("nginx-quit", "nginx SIGQUIT", "its graceful shutdown", syscall.SIGQUIT, Itself, late, "nginx", nginx)),
		secure(stopped("haproxy", "HAProxy SIGTERM", "its immediate stop", syscall.SIGTERM, Alone, events, "haproxy", haproxy)),
		secure(stopped("haproxy-soft", "HAProxy SIGUSR1", "its soft stop", syscall.SIGUSR1, Alone, events, "haproxy", haproxy)),
		stopped("apache", "Apache SIGTERM", "httpd with the event MPM: stop now", syscall.SIGTERM, Itself, only, "apache", apache),
		stopped("apache-graceful", "Apache SIGWINCH", "httpd with the event MPM: graceful stop", syscall.SIGWINCH, Itself, only, "apache", apache),
		stopped("lighttpd", "lighttpd SIGTERM", "its immediate shutdown", syscall.SIGTERM, Itself, large, "lighttpd", lighttpd),
		stopped("lighttpd-graceful", "lighttpd SIGINT", "its graceful shutdown", syscall.SIGINT, Itself, large, "lighttpd", lighttpd),
		secure(stopped("caddy", "Caddy SIGQUIT", "its immediate exit", syscall.SIGQUIT, Alone, only, "caddy", caddy)),
		secure(stopped("caddy-graceful", "Caddy SIGTERM", "its graceful exit", syscall.SIGTERM, Alone, only, "caddy", caddy)),
		stopped("gunicorn", "gunicorn SIGQUIT", "with threads: its quick shutdown", syscall.SIGQUIT, Itself, only, "gunicorn", gunicorn),
		stopped("gunicorn-graceful", "gunicorn SIGTERM", "with threads: its graceful shutdown", syscall.SIGTERM, Itself, only, "gunicorn", gunicorn),
		node("map", "a Set of sockets, destroy on each", ""),
		node("server-destroy", "the package server-destroy", "server-destroy"),
		node("killable", "the package killable", "killable"),
		node("http-shutdown", "the package http-shutdown, shutdown", "http-shutdown"),
		node("http-shutdown-force", "the package http-shutdown, forceShutdown", "http-shutdown"),
		node("stoppable", "the package stoppable", "stoppable"),
		node("http-terminator", "the package http-terminator", "http-terminator"),
		node("close-all-connections", "Server.closeAllConnections", ""),
		node("process-exit", "process.exit", ""),
		node("unref", "unref on the server and its sockets, and nothing else to do", ""),
		node("connection-close", "Connection: close in each answer, and Server.close", ""),
		node("emit-close", "Server.close, and 'close' emitted before it has come", ""),
		handler,
		gws,
		unasked(gws, "gws kill -9"),
		nbioWebSocket,
		unasked(nbioWebSocket, "nbio WebSocket kill -9"),
		coder,
		unasked(coder, "coder/websocket kill -9"),
		gorilla,
		unasked(gorilla, "gorilla/websocket kill -9"),
		nodeWebSocket("ws-close", "the package ws: close of each WebSocket"),
		nodeWebSocket("ws-terminate", "the package ws: terminate of each WebSocket"),
		front("nginx-ws", "nginx SIGTERM before WebSockets", "its fast shutdown, with rstserver behind it", "proxy"),
		front("nginx-ws-drain", "rstserver drain behind nginx", "what nginx passes on of it", "drain"),
		front("haproxy-ws", "HAProxy SIGTERM before WebSockets", "its immediate stop, with rstserver behind it", "proxy"),
		front("haproxy-ws-drain", "rstserver drain behind HAProxy", "what HAProxy passes on of it", "drain"),
	}
}

// Pick returns the servers that names stand for, in the roster's order and each once. A name that stands for none is an error.
func (r Roster) Pick(names []string) ([]Server, error) {
	var picked []Server
	for _, name := range names {
		if !slices.ContainsFunc(r, func(k Known) bool { return k.is(name) }) {
			return nil, fmt.Errorf("%q is no server to compare with: %s", name, strings.Join(r.Names(), ", "))
		}
	}
	for _, k := range r {
		if slices.ContainsFunc(names, k.is) {
			picked = append(picked, k.Server)
		}
	}
	return picked, nil
}

func (k Known) is(name string) bool {
	return name == k.Key || name == AllServers || slices.Contains(k.Groups, name)
}

// Group is a name that stands for several servers of a roster.
type Group struct {
	Name string
	Keys []string
}

// Groups are all groups, that of all servers first.
func (r Roster) Groups() []Group {
	groups := []Group{{Name: AllServers}}
	for _, k := range r {
		groups[0].Keys = append(groups[0].Keys, k.Key)
		for _, name := range k.Groups {
			i := slices.IndexFunc(groups, func(g Group) bool { return g.Name == name })
			if i < 0 {
				i = len(groups)
				groups = append(groups, Group{Name: name})
			}
			groups[i].Keys = append(groups[i].Keys, k.Key)
		}
	}
	return groups
}

// Names are all names that Pick knows: those of groups first.
func (r Roster) Names() []string {
	var names []string
	groups := r.Groups()
	for _, g := range groups {
		names = append(names, g.Name)
	}
	return append(names, groups[0].Keys...)
}
