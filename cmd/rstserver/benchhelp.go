package main

import (
	"fmt"
	"strings"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
)

// Help is what the help says below the first line.
func (*benchCommand) Help() string {
	var b strings.Builder
	b.WriteString("Starts each server, opens connections, sends the signal, and sees from outside what comes of it. The servers take turns, " +
		"and between two runs everything that is left on the port is destroyed (with CAP_NET_ADMIN) or waited out.\n\n" +
		"The figures:\n\n")
	for _, d := range report.Definitions() {
		writeHelpItem(&b, d.Name, d.Text)
	}
	b.WriteString("\nWhat connections are doing, for --kind:\n\n")
	for _, k := range kinds.All() {
		writeHelpItem(&b, string(k), k.About())
	}
	b.WriteString("\nServers, for --peers:\n\n")
	roster := bench.NewRoster("", "", "")
	var installed []string
	for _, k := range roster {
		writeHelpItem(&b, k.Key, k.About)
		if k.Needs != "" {
			installed = append(installed, k.Key)
		}
	}
	fmt.Fprintf(&b, "\nThose from %s on are no part of this program: %s puts them into --peers-dir, and those that are not there are skipped. "+
		"Names for several:\n\n", installed[0], peersRemedy)
	for _, g := range roster.Groups() {
		of := strings.Join(g.Keys, ", ")
		if g.Name == bench.AllServers {
			of = "every one of them"
		}
		writeHelpItem(&b, g.Name, of)
	}
	b.WriteString("\nSteps of a restart, for --restart, one after the other with commas between:\n\n")
	for _, step := range bench.Deeds() {
		writeHelpItem(&b, step.Usage, step.About)
	}
	b.WriteString("\nWhat clients are doing, for --kind with --restart:\n\n")
	for _, k := range kinds.AtWork() {
		writeHelpItem(&b, string(k), k.AboutWork())
	}
	b.WriteString("\nServers, for --peers with --restart, each with how it is restarted:\n\n")
	for _, k := range bench.NewRestartRoster("", "", "") {
		writeHelpItem(&b, k.Key, k.Way.Text+": "+k.About)
	}
	b.WriteString("\nThe figures of restarts:\n\n")
	for _, d := range report.RestartDefinitions() {
		writeHelpItem(&b, d.Name, d.Text)
	}
	b.WriteString("\nKeys of --server, as in --server 'name=mine,cmd=./server --port {port},signal=TERM,path=/', of which cmd is the only one that has to be there:\n\n")
	for _, key := range serverKeys {
		writeHelpItem(&b, key.name, key.text)
	}
	b.WriteString("\nExit codes: 0 when all that was asked for was measured, apart from what was skipped; 1 when a server failed: it did not start, ended by " +
		"itself, ended connections by itself, or did not end in time, or when nothing could be measured; 2 for wrong usage, and nothing was " +
		"started then; 128 and the signal's number when SIGINT, SIGTERM or SIGHUP cut it short. What was measured is written all the same. " +
		"A second signal ends it at once. D is a duration such as 500ms, 10s or 3m.")
	return b.String()
}

// writeHelpItem writes an item of a list, as kong reads it (go/doc/comment).
func writeHelpItem(b *strings.Builder, name, text string) { fmt.Fprintf(b, "  - %s: %s\n", name, text) }

type serverKey struct{ name, text string }

// serverKeys are those that parseServer knows.
var serverKeys = []serverKey{
	{"name", "what it is called in the report. Default: its program."},
	{"cmd", "the program and its arguments, quoted as for a shell. {port} in it is the port of 127.0.0.1 to listen on; all addresses will do too. " +
		"What only a shell can do is cmd=sh -c 'exec ...': it is exec that has the signal reach the server."},
	{"signal", "what tells it to end, by name or number. Default: TERM."},
	{"port", "the port that it listens on, if it cannot be told by {port}."},
	{"path", "what it answers at once, keeping the connection. Default: /."},
	{"late", "what it answers late, for in-flight, stuck and unread connections. {ms} in it stands for the milliseconds, which are those of --late for in-flight ones."},
	{"large", "what it answers with more than any send buffer takes, for full connections."},
	{"stream", "what it answers without an end, for streaming connections."},
	{"upgrade", "what it answers with 101, for upgraded connections."},
	{"protocol", "what they are upgraded to. Default: websocket."},
	{"websocket", "what it answers with a WebSocket that echoes, for websocket connections."},
	{"room", "what it answers with a WebSocket each message of which goes to all that are there, for --broadcast."},
	{"events", "what it answers with an event stream on which events come by themselves, for sse connections."},
	{"event-room", "what it answers with an event stream that gets the content of each POST to the same path, for --broadcast."},
	{"post", "what it answers with 200 to a POST, keeping the connection, for post clients of --restart."},
	{"upload", "the same for content that comes slowly, for upload clients. Default: that of post."},
	{"pidfile", "the file in which it leaves the number of its main process, which is how a restart is followed. {dir} in it is a directory of each run. " +
		"Where the command has {pidfile}, that is one there."},
	{"process", "the field of its answers whose value tells its processes apart, for --restart."},
	{"tls", "arguments that have it serve over TLS, for --tls. {cert} and {key} in them are files of a certificate that is made for the measurement, for 127.0.0.1, and " +
		"of its key, in PEM. tls= alone is a server that does in any case; clients take every certificate."},
	{"share", "arguments that have it set SO_REUSEPORT, with which it is started several times where one process may not hold all connections."},
	{"successor", "successor= alone: its signal has it hand over to a successor, which goes on. It is not waited for, and ended with the run."},
}
