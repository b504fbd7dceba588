package main

import (
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"rstserver/linger/sockdiag"
	"rstserver/poller"
)

type serveCommand struct {
	Addr              string        `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on. An empty host means all addresses of both families, port 0 a free one. fd:NAME is the socket that systemd passes by that name. Default: a socket that systemd passes, or else ${default}."`
	Loops             int           `default:"0" placeholder:"N" help:"Event loops. Default: one for each processor that Go uses (GOMAXPROCS)."`
	MaxConns          int           `default:"0" placeholder:"N" help:"Connections held at a time; further clients wait in the kernel's queue, and connections on which nothing came for five seconds are reset for them. Default: what the limit of open files allows."`
	MaxConnsPerClient int           `default:"0" placeholder:"N" help:"Connections that one client address has at a time; who comes beyond that is reset. 0: any number. Default: any."`
	ConnRatePerClient int           `default:"0" placeholder:"N" help:"New connections that one client address has in a second, of which so many can come at once; who comes beyond that is reset. 0: any number. Default: any."`
	ProxyProtocol     bool          `help:"Connections from --trusted-proxies begin with a PROXY header (v1 or v2), which says who the client is."`
	TrustedProxies    list          `placeholder:"NET,..." help:"Addresses and networks of load balancers that are believed who the client is: 10.0.0.5, 10.0.0.0/8. Others are served as themselves. Needed with --proxy-protocol."`
	TLSCert           []string      `name:"tls-cert" sep:"none" placeholder:"FILE" help:"Serve over TLS with the certificate in this file: PEM, those that lead from it to one that clients know behind it. It is looked at again every few seconds, and on SIGHUP. May be given again, each with its --tls-key: clients are shown the one for the name that they ask for, or else the first. Default: none."`
	TLSKey            []string      `name:"tls-key" sep:"none" placeholder:"FILE" help:"Private key of the certificate in --tls-cert: PEM, without a passphrase. It may be the same file."`
	TLSClientCA       *string       `name:"tls-client-ca" placeholder:"FILE" help:"Serve only clients whose certificate was signed by one in this file, which is read once, at the start. Default: all clients."`
	TLSSelfSigned     bool          `name:"tls-self-signed" help:"Serve over TLS with a throw-away certificate, for trying things out: clients refuse it unless they are told to take it, such as by curl -k."`
	HandshakeTimeout  time.Duration `default:"10s" placeholder:"D" help:"Time for a TLS handshake, after which the client is reset, or closed if it has sent nothing. 0: none. Default: ${default}."`
	MaxHandshakes     int           `default:"1024" placeholder:"N" help:"TLS handshakes under way at a time; further clients wait. Default: ${default}."`
	HTTP2             string        `name:"http2" enum:"all,tls,none" default:"all" placeholder:"all|tls|none" help:"Where HTTP/2 is spoken with clients that want it: with TLS (ALPN) and without (prior knowledge), with TLS only, or nowhere. Default: ${default}."`
	HeaderTimeout     time.Duration `default:"60s" placeholder:"D" help:"Time for a request's head, after which the client gets 408. 0: none. Default: ${default}."`
	BodyTimeout       time.Duration `default:"60s" placeholder:"D" help:"Time between two reads of a request's content, after which the client gets 408. 0: none. Default: ${default}."`
	MinBodyRate       int64         `default:"240" placeholder:"N" help:"Bytes per second at which a client has to send a request's content while it is waited for; it may be late by --rate-grace in all, and then gets 408. 0: any. Default: ${default}."`
	MinWriteRate      int64         `default:"0" placeholder:"N" help:"Bytes per second at which a client has to take an answer that waits for it; it may be late by --rate-grace in all, and is then reset. 0: any. Default: ${default}."`
	RateGrace         time.Duration `default:"5s" placeholder:"D" help:"What --min-body-rate and --min-write-rate allow a client to be late. Default: ${default}."`
	UpgradeIdle       time.Duration `name:"upgrade-idle-timeout" default:"0s" placeholder:"D" help:"Time in which nothing is sent either way on an upgraded connection, after which it is closed. 0: none. Default: none."`
	HandlerTimeout    time.Duration `default:"0s" placeholder:"D" help:"Time for the answer of /slow, /stream and /files/, after which the client gets 503, or a reset if it has begun. Default: none."`
	WriteTimeout      time.Duration `default:"60s" placeholder:"D" help:"Time during which a client takes nothing of an answer, after which it is reset. 0: none. Default: ${default}."`
	IdleTimeout       time.Duration `default:"3m" placeholder:"D" help:"Time between two requests, after which the connection is closed. 0: none. Default: ${default}."`
	MaxHandlers       int           `default:"0" placeholder:"N" help:"Requests to /slow, /stream, /upgrade, /ws/room, /events, /events/room and /files/ answered at a time. Default: as many as there are connections."`
	MaxHeaderBytes    byteSize      `default:"65536" placeholder:"N" help:"Bytes of a request's head, such as 64KiB; more are answered with 431. Default: ${default}."`
	MaxBodyBytes      byteSize      `default:"10485760" placeholder:"N" help:"Bytes of a request's content, such as 10MiB, for /echo and for handlers; more are answered with 413. Other requests have no use for content, which is thrown away. 0: no bound. Default: ${default}."`
	MaxBuffered       *byteSize     `placeholder:"N" help:"Bytes that all connections together may have buffered, such as 256MiB. From three quarters of it on large requests get 503, beyond it the connections that make the least progress are reset. 0: no bound. Default: a quarter of the least of GOMEMLIMIT, the cgroup's limit and the machine's memory."`
	Root              *string       `placeholder:"DIR" help:"Serve the files in this directory under /files/. Default: none."`
	ShutdownAfter     time.Duration `default:"0s" placeholder:"D" help:"Count down this long, then abort. Default: serve until a signal comes."`
	DrainDelay        time.Duration `default:"0s" placeholder:"D" help:"Time for which a drain goes on to accept connections, each for one answer that is its last, for load balancers to learn meanwhile that this server is to be left alone. It is part of --drain-timeout. 0: none. Default: 0."`
	DrainSpread       time.Duration `default:"0s" placeholder:"D" help:"Time over which a drain resets idle connections, one after the other, so that clients do not all come back at once. 0: at once. Default: 0."`
	DrainTimeout      time.Duration `default:"30s" placeholder:"D" help:"Time for a drain, after which what is left is aborted. 0: no limit. Default: ${default}."`
	Grace             time.Duration `default:"0s" placeholder:"D" help:"What a supervisor leaves between SIGTERM and SIGKILL: TimeoutStopSec= of systemd, the termination grace period of Kubernetes. At the start the log warns of what of a drain does not fit into it; nothing else is changed. Default: not known."`
	OnTerm            string        `enum:"abort,drain" default:"abort" placeholder:"abort|drain" help:"What SIGTERM and SIGINT do. Default: ${default}."`
	HandoverTimeout   time.Duration `default:"10s" placeholder:"D" help:"Time that a successor may say nothing before it is ready, after which it is killed. Default: ${default}."`
	PIDFile           *string       `name:"pid-file" placeholder:"FILE" help:"Write the number of the process that serves to this file, which a successor replaces. Default: none."`
	ProcessField      *string       `placeholder:"NAME" help:"Have every answer say in a field of this name which process it is of, by its number: rstserver bench --restart tells processes apart by it. Default: none."`
	NoArm             bool          `help:"Do not arm the connections from birth: if the process is killed, they are left in TIME_WAIT."`
	Reuseport         bool          `help:"Set SO_REUSEPORT, so that several processes can serve one port."`
	Sweep             bool          `help:"At the end destroy what ordinary closes have left on the port (TIME_WAIT and the like). Needs CAP_NET_ADMIN; without that the report says so."`
	Health            *string       `placeholder:"HOST:PORT" help:"Answer /livez, /readyz and /metrics (for Prometheus) there. Nothing can be changed there. Default: none."`
	Admin             *string       `placeholder:"unix:PATH|HOST:PORT" help:"Be steered there, by rstserver connections, drain, release, abort, handover and limits, and show a page: a unix socket for this user and root alone, or a loopback address with --admin-token-file. Default: none."`
	AdminTokenFile    *string       `placeholder:"FILE" help:"The token that --admin HOST:PORT asks for: the first line of this file, which others cannot read. Default: none."`
	LogConns          bool          `help:"Log each connection that is opened, closed or aborted, with its number."`
	AccessLog         *string       `placeholder:"FILE|-" help:"Append a line for each answer to this file, or to stdout, in the combined format; on stdout with --log-format json a JSON object. Default: none."`
	AccessLogFormat   string        `enum:"auto,combined,json" default:"auto" placeholder:"combined|json" help:"Form of the access log. Default: combined, but json on stdout with --log-format json."`
	LogLevel          string        `enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL" help:"What is logged: debug, info, warn or error, and what is more than that. Default: ${default}."`
	LogFormat         string        `enum:"text,json" default:"text" placeholder:"text|json" help:"Form of the logs on stderr and of the output on stdout. Default: ${default}."`
	Quiet             bool          `help:"Log nothing below errors: --log-level error."`

	addrGiven bool // Addr is not the default
}

// check refuses values that no server could work with.
func (c *serveCommand) check() error {
	if err := checkAddr(c.Addr); err != nil {
		return &exitError{exitUsage, err}
	}
	for _, v := range []struct {
		flag      string
		n         int64
		low, high int64
	}{
		{"--loops", int64(c.Loops), 0, 1024},
		{"--max-conns", int64(c.MaxConns), 0, math.MaxInt32},
		{"--max-conns-per-client", int64(c.MaxConnsPerClient), 0, math.MaxInt32},
		{"--conn-rate-per-client", int64(c.ConnRatePerClient), 0, math.MaxInt32},
		{"--max-handlers", int64(c.MaxHandlers), 0, math.MaxInt32},
		{"--max-handshakes", int64(c.MaxHandshakes), 1, math.MaxInt32},
		{"--max-header-bytes", int64(c.MaxHeaderBytes), 1, math.MaxInt32},
		{"--min-body-rate", c.MinBodyRate, 0, math.MaxInt32},
		{"--min-write-rate", c.MinWriteRate, 0, math.MaxInt32},
		{"--max-body-bytes", int64(c.MaxBodyBytes), 0, math.MaxInt64},
	} {
		if v.n < v.low || v.n > v.high {
			return usage("%s=%d: it must be from %d to %d", v.flag, v.n, v.low, v.high)
		}
	}
	for _, v := range []struct {
		flag string
		d    time.Duration
	}{
		{"--handshake-timeout", c.HandshakeTimeout},
		{"--header-timeout", c.HeaderTimeout},
		{"--body-timeout", c.BodyTimeout},
		{"--upgrade-idle-timeout", c.UpgradeIdle},
		{"--handler-timeout", c.HandlerTimeout},
		{"--write-timeout", c.WriteTimeout},
		{"--idle-timeout", c.IdleTimeout},
		{"--shutdown-after", c.ShutdownAfter},
		{"--drain-delay", c.DrainDelay},
		{"--drain-spread", c.DrainSpread},
		{"--drain-timeout", c.DrainTimeout},
		{"--grace", c.Grace},
	} {
		if v.d < 0 {
			return usage("%s=%s: it must not be negative; 0 means none", v.flag, v.d)
		}
	}
	if b := c.MaxBuffered; b != nil && *b > 0 && *b < poller.LeastMaxBufferedBytes {
		return usage("--max-buffered=%d: it must be at least 1MiB; 0 means no bound", *b)
	}
	if c.HandoverTimeout <= 0 {
		return usage("--handover-timeout=%s: it must be more than 0", c.HandoverTimeout)
	}
	if c.RateGrace <= 0 || c.RateGrace > time.Hour {
		return usage("--rate-grace=%s: it must be more than 0, and 1h at the most", c.RateGrace)
	}
	for _, v := range []struct {
		flag, what string
		value      *string
	}{
		{"--root", "a directory", c.Root},
		{"--pid-file", "a file", c.PIDFile},
		{"--process-field", "a field, such as Server-Process", c.ProcessField},
		{"--access-log", "a file, or - for stdout", c.AccessLog},
		{"--tls-client-ca", "a file", c.TLSClientCA},
	} {
		if v.value != nil && *v.value == "" {
			return usage("%s=: it must name %s", v.flag, v.what)
		}
	}
	if c.ProcessField != nil && !httpguts.ValidHeaderFieldName(*c.ProcessField) {
		return usage("--process-field=%s: it is no name of a field; it is of letters, digits and hyphens, as Server-Process", *c.ProcessField)
	}
	for _, text := range c.TrustedProxies {
		if _, err := sockdiag.ParseNetwork(text); err != nil {
			return usage("--trusted-proxies=%s: it must be an address such as 10.0.0.5 or ::1, or a network such as 10.0.0.0/8", text)
		}
	}
	switch {
	case c.ProxyProtocol && len(c.TrustedProxies) == 0:
		return usage("--proxy-protocol: say by --trusted-proxies who is believed; 0.0.0.0/0,::/0 is everybody")
	case !c.ProxyProtocol && len(c.TrustedProxies) > 0:
		return usage("--trusted-proxies=%s: they are believed what --proxy-protocol has them say: add that", strings.Join(c.TrustedProxies, ","))
	}
	if err := c.checkFront(); err != nil {
		return err
	}
	return c.checkTLS()
}

// proxies are those of --trusted-proxies, which check has read.
func (c *serveCommand) proxies() (all []netip.Prefix) {
	for _, text := range c.TrustedProxies {
		if n, err := sockdiag.ParseNetwork(text); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// level is that of the log in the beginning.
func (c *serveCommand) level() (level slog.Level) {
	if c.Quiet {
		return slog.LevelError
	}
	_ = level.UnmarshalText([]byte(c.LogLevel))
	return level
}

// accessLogIsJSON reports whether lines of the access log are JSON. A file is for programs that know the combined format, unless it is said
// otherwise; what goes to stdout among JSON is JSON too.
func (c *serveCommand) accessLogIsJSON() bool {
	return c.AccessLogFormat == "json" || c.AccessLogFormat == "auto" && c.LogFormat == "json" && *c.AccessLog == "-"
}
