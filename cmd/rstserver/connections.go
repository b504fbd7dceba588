package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"rstserver/internal/layout"
	"rstserver/internal/prose"
	"rstserver/poller"
)

// connectionsCommand lists a server's connections, and ends some.
type connectionsCommand struct {
	adminFlags
	State    list          `placeholder:"STATE,..." help:"Only connections in one of these states of TCP: established, close-wait, fin-wait-1, ... Default: any."`
	Peer     list          `placeholder:"NET,..." help:"Only clients with one of these addresses, or in one of these networks: 10.0.0.5, 10.0.0.0/8, fd00::/8. Behind --proxy-protocol it is the client's. Default: any."`
	Local    list          `placeholder:"NET,..." help:"Only connections to one of these addresses, or in one of these networks. Default: any."`
	Idle     time.Duration `default:"0s" placeholder:"D" help:"Only connections through which no data has gone for this long, in either direction. Default: any."`
	Queued   int64         `default:"0" placeholder:"N" help:"Only connections with this many bytes in the kernel that the client has not acknowledged or the server has not read. Default: any."`
	Age      time.Duration `default:"0s" placeholder:"D" help:"Only connections that were accepted this long ago. Default: any."`
	Activity list          `placeholder:"WHAT,..." help:"Only connections that are doing this: new, handshake, idle, receiving, handling, sending, closing, hijacked, HTTP/2 or upgraded. Default: any."`
	Protocol list          `placeholder:"NAME,..." help:"Only connections on which this is spoken: HTTP/1.1, HTTP/2, websocket, ... Default: any."`
	Path     list          `placeholder:"PATH,..." help:"Only connections whose handler has a request for this path, or that were upgraded by one: /ws, or /files/* for all below. Default: any."`
	ID       list          `name:"id" placeholder:"N,..." help:"Only these connections, by the number that the list and the log have. Default: any."`
	Top      string        `enum:",peer" default:"" placeholder:"peer" help:"Count by client address, the most first."`
	Limit    int           `default:"0" placeholder:"N" help:"Lines at the most. 0: all. Default: all."`
	Watch    bool          `help:"Show it anew every two seconds, until Ctrl-C."`
	JSON     bool          `name:"json" help:"Print one JSON object in place of text."`
	Abort    bool          `help:"Reset the connections that are selected."`
	Close    bool          `help:"Have them come to their end in order: an answer is finished and says that it is the last, a WebSocket gets 1012, HTTP/2 GOAWAY, and idle ones FIN."`
	Yes      bool          `short:"y" help:"Do not ask. Without a terminal this is needed for --abort and --close."`
}

// Help is what the help says below the first line.
func (*connectionsCommand) Help() string {
	return "Lists the connections of a server that was started with --admin: client, age, time since data last went through, what it is doing, protocol, " +
		"requests so far, bytes that wait in the kernel, and the path of what its handler is at. A connection has to meet every condition. With --abort or " +
		"--close those that are selected are ended, after a question.\n\n" +
		"Exit codes: 0 when it was done, or nothing was selected; 1 when the server could not be asked, or the answer to the question was no; 2 for wrong " +
		"usage. D is a duration such as 500ms, 10s or 3m."
}

// watchInterval is that of --watch.
const watchInterval = 2 * time.Second

// query is what the selectors say, as poller.ParseSelector reads it.
func (c *connectionsCommand) query() (url.Values, error) {
	q := url.Values{}
	for key, values := range map[string]list{
		"state": c.State, "peer": c.Peer, "local": c.Local, "activity": c.Activity, "protocol": c.Protocol, "path": c.Path, "id": c.ID,
	} {
		if len(values) > 0 {
			q[key] = values
		}
	}
	for key, d := range map[string]time.Duration{"idle": c.Idle, "age": c.Age} {
		if d != 0 {
			q.Set(key, d.String())
		}
	}
	if c.Queued != 0 {
		q.Set("queued", strconv.FormatInt(c.Queued, 10))
	}
	if _, err := poller.ParseSelector(q); err != nil {
		return nil, usage("--%w", err)
	}
	switch {
	case c.Abort && c.Close:
		return nil, usage("--abort and --close are two ways to end connections: leave out one of them")
	case (c.Abort || c.Close) && (c.Top != "" || c.Watch || c.Limit != 0):
		return nil, usage("--top, --watch and --limit only look: leave them out with --abort and --close")
	case (c.Abort || c.Close) && c.Limit != 0:
		return nil, usage("--limit=%d: it bounds what is shown: leave it out with --abort and --close, which end all that are picked", c.Limit)
	case c.Watch && c.JSON && c.Top != "":
		return nil, usage("--watch --json has one object a line already: leave out --top")
	case c.Limit < 0:
		return nil, usage("--limit=%d: it must be from 0 on", c.Limit)
	case c.Yes && !c.Abort && !c.Close:
		return nil, usage("--yes: there is no question without --abort or --close")
	}
	return q, nil
}

// connection is one, as the server answers.
type connection struct {
	ID       uint64  `json:"id"`
	Peer     string  `json:"peer"`
	Age      float64 `json:"age_seconds"`
	Idle     float64 `json:"idle_seconds"`
	Activity string  `json:"activity"`
	Protocol string  `json:"protocol"`
	TLS      bool    `json:"tls"`
	Requests int64   `json:"requests"`
	Recv     int64   `json:"recv_queue_bytes"`
	Send     int64   `json:"send_queue_bytes"`
	Path     string  `json:"path"`
}

// connectionList is the answer.
type connectionList struct {
	Total       int          `json:"total"`
	Connections []connection `json:"connections"`
	Peers       []peerCount  `json:"peers"`
	Server      string       `json:"server"`
	Problem     string       `json:"problem"`
}

type peerCount struct {
	Peer        string         `json:"peer"`
	Connections int            `json:"connections"`
	Activities  map[string]int `json:"activities"`
	Requests    int64          `json:"requests"`
	Queued      int64          `json:"queued_bytes"`
}

func (c *connectionsCommand) run(stdin *os.File, stdout, stderr io.Writer) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Abort || c.Close {
		return c.end(client, q, stdin, stdout, stderr)
	}
	if c.Top != "" {
		q.Set("top", c.Top)
	}
	if c.Limit > 0 {
		q.Set("limit", strconv.Itoa(c.Limit))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for {
		var raw json.RawMessage
		if err := client.get(ctx, "GET", "/connections", q, &raw); err != nil {
			if c.Watch && ctx.Err() != nil {
				return nil
			}
			return err
		}
		if c.JSON {
			fmt.Fprintf(stdout, "%s\n", raw)
		} else if err := c.print(stdout, stderr, raw); err != nil {
			return err
		}
		if !c.Watch {
			return nil
		}
		select {
		case <-time.After(watchInterval):
		case <-ctx.Done():
			return nil
		}
	}
}

// print prints an answer as a table.
func (c *connectionsCommand) print(stdout, stderr io.Writer, raw json.RawMessage) error {
	var list connectionList
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("the answer cannot be understood: %w", err)
	}
	if c.Watch && isTerminal(stdout) {
		fmt.Fprint(stdout, "\x1b[H\x1b[2J")
	}
	if c.Top != "" {
		printPeers(stdout, list.Peers)
	} else {
		printConnections(stdout, list.Connections)
	}
	shown := max(len(list.Connections), len(list.Peers))
	what := "connection"
	if c.Top != "" {
		what = "client"
	}
	if shown < list.Total {
		fmt.Fprintf(stdout, "%s of %s\n", prose.Grouped(shown), prose.Plural(list.Total, what))
	} else {
		fmt.Fprintln(stdout, prose.Plural(list.Total, what))
	}
	if list.Problem != "" {
		fmt.Fprintln(stderr, "rstserver: some are missing:", oneLine(fmt.Errorf("%s", list.Problem)))
	}
	return nil
}

func printConnections(w io.Writer, all []connection) {
	if len(all) == 0 {
		return
	}
	t, flush := tableOn(w)
	defer flush()
	fmt.Fprintln(t, "ID\tPEER\tAGE\tIDLE\tACTIVITY\tPROTOCOL\tREQUESTS\tQUEUED\tPATH")
	for _, c := range all {
		protocol := c.Protocol
		if c.TLS {
			protocol += "+tls"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", c.ID, c.Peer, short(c.Age), short(c.Idle), c.Activity, printable(protocol), c.Requests, c.Recv+c.Send, printable(c.Path))
	}
}

// tableOn returns what takes the lines of a table whose cells end with tabs, and what writes it to w then. On a terminal no line is broken:
// one that is too long is cut, the paths of clients first, as they come last.
func tableOn(w io.Writer) (t io.Writer, flush func()) {
	var b bytes.Buffer
	tabs := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	return tabs, func() {
		_ = tabs.Flush()
		if !isTerminal(w) {
			_, _ = b.WriteTo(w)
			return
		}
		columns := columnsOf(w)
		for line := range strings.Lines(b.String()) {
			fmt.Fprintln(w, layout.Clip(strings.TrimSuffix(line, "\n"), columns))
		}
	}
}

func printPeers(w io.Writer, all []peerCount) {
	if len(all) == 0 {
		return
	}
	t, flush := tableOn(w)
	defer flush()
	fmt.Fprintln(t, "PEER\tCONNECTIONS\tIDLE\tREQUESTS\tQUEUED")
	for _, p := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", p.Peer, p.Connections, p.Activities["idle"], p.Requests, p.Queued)
	}
}

// short is a time in seconds with two digits at the least: 0.05s, 1.2s, 59s, 3m12s.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// printable returns what a client sent without what a terminal would obey.
func printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(appendQuoted(nil, s)), `"`), `"`)
}

// end ends what is selected.
func (c *connectionsCommand) end(client *adminClient, q url.Values, stdin *os.File, stdout, stderr io.Writer) error {
	what, question := "abort", "Reset %s?"
	if c.Close {
		what, question = "close", "End %s in order?"
	}
	agreed := 0
	if !c.Yes {
		const shown = 20
		terminal := questionTerminal(stdin, stderr, stdout)
		if terminal == nil {
			return usage("there is no terminal to ask on, so nothing was touched: --yes does without")
		}
		var list connectionList
		if err := client.get(context.Background(), "GET", "/connections", q, &list); err != nil {
			return err
		}
		if list.Total == 0 {
			fmt.Fprintln(stdout, "0 connections")
			return nil
		}
		printConnections(terminal, list.Connections[:min(shown, list.Total)])
		if list.Total > shown {
			fmt.Fprintf(terminal, "and %s more\n", prose.Grouped(list.Total-shown))
		}
		yes, err := ask(stdin, terminal, fmt.Sprintf(question, prose.Plural(list.Total, "connection")))
		if err != nil {
			return err
		}
		if !yes {
			fmt.Fprintln(stdout, "nothing was touched")
			return &exitError{code: exitFailed}
		}
		// What was agreed to, and not what the conditions pick by now.
		ids := make([]string, 0, list.Total)
		for _, c := range list.Connections {
			ids = append(ids, strconv.FormatUint(c.ID, 10))
		}
		q, agreed = url.Values{"id": {strings.Join(ids, ",")}, "server": {list.Server}}, list.Total
	}
	if len(q) == 0 {
		q = url.Values{"all": {"true"}}
	}
	var raw json.RawMessage
	if err := client.get(context.Background(), "POST", "/connections/"+what, q, &raw); err != nil {
		return err
	}
	var list connectionList
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("the answer cannot be understood: %w", err)
	}
	if c.JSON {
		fmt.Fprintf(stdout, "%s\n", raw)
	} else {
		done := "reset"
		if c.Close {
			done = "told to end"
		}
		gone := ""
		if n := agreed - list.Total; n > 0 {
			gone = ", " + prose.Grouped(n) + " had ended before"
		}
		fmt.Fprintf(stdout, "%s %s%s\n", prose.Plural(list.Total, "connection"), done, gone)
	}
	if list.Problem != "" {
		return fmt.Errorf("some were not reached: %s", list.Problem)
	}
	return nil
}
