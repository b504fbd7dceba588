//go:build linux

package bench

import (
	"path/filepath"
	"runtime"
	"strings"

	"rstserver/bench/internal/inside"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

// NewRestartRoster is the servers whose restarts are to be compared, each with its Way. See NewRoster.
func NewRestartRoster(program, peersDir, remedy string) Roster {
	serve := func(args ...string) []string {
		return append([]string{program, "serve", "--addr", "127.0.0.1:{port}", "--quiet", "--process-field", inside.ProcessField}, args...)
	}
	known := func(key, name, about string, role report.Role, command []string, way string, paths kinds.Paths, groups ...string) Known {
		return Known{key, groups, Server{
			Name: name, About: about, Role: role, Command: command, Way: mustWay(way), Process: inside.ProcessField, Paths: paths,
			Version: programVersion,
		}}
	}
	own := func(key, name, about string, command []string, way string, groups ...string) Known {
		k := known(key, name, about, report.Ours, command, way, withWebSocket(ourPaths), append(groups, "ours")...)
		k.Share = []string{"--reuseport"}
		return k
	}
	plain := kinds.Paths{Get: "/", Post: "/", Upload: "/"}
	late := plain
	late.Late = ourPaths.Late
	foreign := func(key, name, about string, way string, paths kinds.Paths, version func() string, file string, args ...string) Known {
		path := filepath.Join(peersDir, file)
		command := append([]string{path, "127.0.0.1:{port}"}, args...)
		if strings.HasSuffix(file, ".js") {
			command = append([]string{"node"}, command...)
		}
		k := known(key, name, about, report.Peer, command, way, paths)
		k.Needs, k.Remedy, k.Version = path, remedy, version
		return k
	}
	dir := func(k Known, pidFile string) Known {
		k.PIDFile = pidFile
		return k
	}
	handler := ourPaths
	handler.Upgrade, handler.Stream, handler.Large = "", "", ""
	nginx := commandVersion("nginx", "-v", "nginx/")
	caddy := filepath.Join(peersDir, "caddy-server")
	reloaded := func(k Known) Known {
		k.Process = ""
		k.Way.Text = "exec=caddy reload"
		k.Way.Steps[0].Command = []string{caddy, "reload", "--force", "--adapter", "caddyfile", "--config", "{dir}/Caddyfile", "--address", "unix/{dir}/admin"}
		return k
	}
	ending := handler
	ending.Events = "" // which Server.Shutdown waits for without an end
	stopped := known("nethttp-restart", "net/http stop and start", "SIGTERM, which calls Server.Shutdown, and then the command again", report.Peer,
		[]string{program, serverCommand, "nethttp-shutdown", "127.0.0.1:{port}"}, "stop=TERM,start", ending, DefaultServers, "nethttp")
	stopped.Version = runtime.Version
	restarting := func(key, name, about, args string) Known {
		k := foreign(key, name, about, "signal=USR2", handler, nil, "restarting", args, "{pidfile}")
		k.Groups = []string{"nethttp"}
		return k
	}
	tableflip := restarting("nethttp-tableflip", "net/http with tableflip", "SIGUSR2: cloudflare/tableflip and Server.Shutdown, as its README has it", "tableflip")
	tableflip.Version = moduleVersion(tableflip.Needs, "github.com/cloudflare/tableflip")
	handover := restarting("nethttp-handover", "net/http with linger/handover", "SIGUSR2: this project's handover for any server", "handover")
	handover.Version = programVersion
	return Roster{
		own("rstserver", "rstserver handover", "SIGUSR2: a successor on the same socket", serve("--pid-file", "{pidfile}"), "signal=USR2", DefaultServers),
		dir(own("rstserver-activated", "rstserver activated", "SIGQUIT, which drains, while something like systemd holds the socket and starts it again",
			append([]string{program, activatorCommand, "127.0.0.1:{port}"}, program, "serve", "--quiet", "--process-field", inside.ProcessField, "--pid-file", "{pidfile}"),
			"stop=QUIT"), "{dir}/pid"),
		own("rstserver-release", "rstserver release", "a second one by SO_REUSEPORT, then SIGUSR1: the first lets go of the port; after a second SIGQUIT, which drains what is left",
			serve(), "start,signal=USR1,exec=sleep 1,stop=QUIT"),
		own("rstserver-reuseport", "rstserver reuseport", "a second one by SO_REUSEPORT, then SIGQUIT: the first drains", serve(), "start,stop=QUIT"),
		own("rstserver-abort", "rstserver abort and start", "SIGTERM: every connection is reset, and then the command again", serve(), "stop=TERM,start", DefaultServers),
		stopped,
		tableflip,
		handover,
		foreign("nginx-hup", "nginx HUP", "new workers, and the old ones end gracefully", "signal=HUP", late, nginx, "nginx", "{dir}"),
		dir(foreign("nginx-usr2", "nginx USR2", "a new master on the same sockets, and SIGQUIT to the old one", "signal=USR2,stop=QUIT", late, nginx, "nginx", "{dir}", "usr2"),
			"{dir}/nginx.pid"),
		foreign("haproxy-usr2", "HAProxy -W USR2", "a new worker on the same sockets", "signal=USR2", late, commandVersion("haproxy", "-v", "version "), "haproxy", "{dir}", "-W"),
		foreign("node-cluster", "Node cluster", "SIGHUP: new workers, then server.close and closeIdleConnections in the old ones, which end after 5 s at the latest",
			"signal=HUP", handler, commandVersion("node", "--version", "v"), filepath.Join("node", "cluster.js")),
		reloaded(foreign("caddy-reload", "Caddy reload", "a new configuration in the same process", "exec=reload", plain,
			moduleVersion(caddy, "github.com/caddyserver/caddy/v2"), "caddy", "{dir}")),
		foreign("gunicorn-hup", "gunicorn HUP", "with threads: new workers, and the old ones end gracefully", "signal=HUP", plain,
			commandVersion("gunicorn", "--version", "version "), "gunicorn", "{dir}"),
	}
}

// mustWay is a way of the roster's own.
func mustWay(s string) Way {
	w, err := ParseWay(s, func(s string) ([]string, error) { return strings.Fields(s), nil })
	if err != nil {
		panic(err)
	}
	return w
}
