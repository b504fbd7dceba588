package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alecthomas/kong"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/prose"
)

type benchCommand struct {
	N         list           `placeholder:"N,..." help:"Numbers of connections. Where one process may not hold as many, there are several: of the clients, and of a server that can share its port. With --restart the number of clients. Default: 10000, with --restart 100."`
	Kind      []string       `sep:"none" placeholder:"KIND" help:"What the connections are doing: a kind, or several with their shares, such as idle=80,in-flight=20. May be given again. With --restart what the clients are doing, by kinds of its own. Default: idle, with --restart some of each."`
	TLS       bool           `name:"tls" help:"Measure all of it over TLS: h2 and handshake too are kinds then, and servers that cannot are skipped. They get a certificate that is made for it. Of the floor, which has no TLS, the connections are plain, and its figures are what ending as many sockets takes."`
	Restart   *string        `placeholder:"WAY" help:"Measure something else: what a restart costs, under the load of clients that repeat nothing. WAY says how the servers of --server are restarted, or rstserver where there is none, by the steps below: signal=USR2, or stop=TERM,start. It is own for those of --peers, each in its own way."`
	Restarts  int            `default:"4" placeholder:"N" help:"Restarts in each run, one after the other under the same load, with --restart. Default: ${default}."`
	Rate      float64        `default:"1000" placeholder:"N" help:"Requests a second that get and post clients begin together, with --restart. Default: ${default}."`
	Window    time.Duration  `default:"2s" placeholder:"D" help:"How long each restart is watched at least, and as long without one behind it, with --restart. Default: ${default}."`
	Runs      int            `default:"5" placeholder:"N" help:"Runs of each server, with each number of connections and each mix. The servers take turns. Default: ${default}."`
	Wire      int            `default:"0" placeholder:"N" help:"Runs after these in which the kernel's time stamps say when each connection was ended on the wire; with --html they are what its curve is drawn from. Needs CAP_NET_RAW. Default: ${default}."`
	Peers     list           `default:"default" placeholder:"NAME,..." help:"Servers to measure, by the names above; none for those of --server alone. Default: rstserver's three ways, the floor, net/http Close."`
	PeersDir  string         `default:"bin/peers" placeholder:"DIR" help:"Where make peers has put the servers that are not in this program. Default: ${default}."`
	Server    []string       `sep:"none" placeholder:"SPEC" help:"Measure this one too: name=NAME,cmd=COMMAND and more, see above. May be given again."`
	Settle    time.Duration  `default:"1s" placeholder:"D" help:"How long sockets that are left on the port are watched, from the end of the server on. 70s shows the end of TIME_WAIT. Default: ${default}."`
	Hold      time.Duration  `default:"0s" placeholder:"D" help:"How long the connections are held before the signal, so that it is known what processor time that takes: WebSockets are sent a ping each 30 s. Default: ${default}."`
	Timeout   time.Duration  `default:"10s" placeholder:"D" help:"How long a server may take to listen, and to end, after which it is killed; in-flight requests add theirs. Default: ${default}."`
	Late      *time.Duration `placeholder:"D" help:"How long an in-flight request takes, which has to be longer than it takes to open all connections. Default: 5s, with --restart 1s."`
	Broadcast bool           `help:"Measure something else: how long a message of one WebSocket takes to all, or with --kind sse an event to all streams, the server's processor time for it, and how long a GET takes meanwhile. The first of --n counts, and --runs, --peers, --server and --json."`
	Echo      bool           `help:"Measure something else: how many messages a second WebSockets send back, each the next when it has had the one before, the server's processor time for them, and its anonymous memory for each connection. The first of --n counts, which is 64 by itself, and --runs, --peers, --server and --json."`
	Stalled   int            `default:"0" placeholder:"N" help:"So many more that do not read, with --broadcast. Default: ${default}."`
	Bytes     *int           `placeholder:"N" help:"Length of the message of --broadcast and --echo. Default: 116, with --echo 64."`
	JSON      *string        `name:"json" placeholder:"FILE" help:"Write everything to FILE, every sample included; - for stdout, in place of the tables."`
	HTML      *string        `name:"html" placeholder:"FILE" help:"Write a page with charts to FILE, which needs nothing else; - for stdout, in place of the tables."`
	Markdown  *string        `placeholder:"FILE" help:"Write the tables, with the commands and the machine's facts, to FILE; - for stdout, in place of the tables."`
	Explain   bool           `help:"Write what the figures mean behind them."`
	From      []string       `sep:"none" placeholder:"FILE" help:"Measure nothing: read what --json has written before, - for stdin, and write it in the other forms, to other files. May be given again."`

	peersGiven bool // Peers is not the default
}

// outputFlags are those that --from can be used with.
var outputFlags = []string{"explain", "from", "html", "json", "markdown"}

// AfterApply implements kong's hook of that name: what would have no effect is refused.
func (c *benchCommand) AfterApply(ctx *kong.Context) error {
	for _, p := range ctx.Path {
		switch {
		case p.Flag == nil:
		case len(c.From) > 0 && !slices.Contains(outputFlags, p.Flag.Name):
			return fmt.Errorf("--from: nothing is measured with it, so --%s has no effect: leave it out", p.Flag.Name)
		case c.Restart != nil && slices.Contains(teardownFlags, p.Flag.Name):
			return fmt.Errorf("--restart: --%s is about something else, and has no effect with it: leave it out", p.Flag.Name)
		case c.Restart == nil && slices.Contains(restartFlags, p.Flag.Name):
			return fmt.Errorf("--%s is about restarts: it has an effect with --restart only", p.Flag.Name)
		}
		c.peersGiven = c.peersGiven || p.Flag != nil && p.Flag.Name == "peers"
	}
	return nil
}

// Flags that are not for every measurement.
var (
	teardownFlags = []string{"wire", "settle", "hold", "broadcast", "echo", "stalled", "bytes", "tls"}
	restartFlags  = []string{"restarts", "rate", "window"}
)

// peersRemedy is what makes the servers in --peers-dir.
const peersRemedy = "make peers"

// comparison is what the flags ask for. program is this one.
func (c *benchCommand) comparison(program string) (*bench.Comparison, error) {
	cmp := &bench.Comparison{
		Runs: c.Runs, Wire: c.Wire, Settle: c.Settle, Timeout: c.Timeout, Late: c.late(5 * time.Second), TLS: c.TLS, Hold: c.Hold,
	}
	switch {
	case len(c.N) > 0:
	case c.Echo:
		c.N = list{"64"}
	default:
		c.N = list{"10000"}
	}
	if len(c.Kind) == 0 {
		c.Kind = []string{string(kinds.Idle)}
	}
	for i, n := range c.N {
		number, err := strconv.Atoi(n)
		switch {
		case err != nil || number < 1 || number > maxConnections:
			return nil, usage("--n=%s: it has to be a number from 1 to %s", n, prose.Grouped(maxConnections))
		case slices.Contains(cmp.N[:i], number):
			return nil, usage("--n=%s: it is there twice", n)
		}
		cmp.N = append(cmp.N, number)
	}
	for _, kind := range c.Kind {
		shares, err := kinds.ParseShares(kind)
		if err != nil {
			return nil, usage("--kind: %w", err)
		}
		if slices.ContainsFunc(cmp.Shares, func(other kinds.Shares) bool { return other.String() == shares.String() }) {
			return nil, usage("--kind=%s: it is there twice", kind)
		}
		for _, share := range shares {
			if err := share.Kind.Over(c.TLS); err != nil {
				return nil, usage("--kind=%s: %w", kind, err)
			}
		}
		cmp.Shares = append(cmp.Shares, shares)
	}
	switch {
	case c.TLS && c.Broadcast:
		return nil, usage("--broadcast is not measured over TLS: leave out --tls")
	case c.TLS && c.Echo:
		return nil, usage("--echo is not measured over TLS: leave out --tls")
	case c.Echo && c.Broadcast:
		return nil, usage("--echo and --broadcast are two measurements: leave out one of them")
	case c.Stalled != 0 && !c.Broadcast:
		return nil, usage("--stalled is about a broadcast: it has an effect with --broadcast only")
	}
	if c.Wire < 0 || c.Wire > maxRuns {
		return nil, usage("--wire=%d: it must be from 0 to %s", c.Wire, prose.Grouped(maxRuns))
	}
	if c.Settle < 0 {
		return nil, usage("--settle=%s: it must not be negative", c.Settle)
	}
	if c.Hold < 0 {
		return nil, usage("--hold=%s: it must not be negative", c.Hold)
	}
	if err := c.checkTimes(); err != nil {
		return nil, err
	}
	var err error
	if cmp.Servers, err = c.servers(bench.NewRoster(program, c.PeersDir, peersRemedy)); err != nil {
		return nil, err
	}
	return cmp, nil
}

// late is how long an in-flight request takes.
func (c *benchCommand) late(otherwise time.Duration) time.Duration {
	if c.Late != nil {
		return *c.Late
	}
	return otherwise
}

// checkTimes refuses what no measurement can have.
func (c *benchCommand) checkTimes() error {
	if c.Runs < 1 || c.Runs > maxRuns {
		return usage("--runs=%d: it must be from 1 to %s", c.Runs, prose.Grouped(maxRuns))
	}
	if c.Timeout <= 0 {
		return usage("--timeout=%s: it must be more than 0", c.Timeout)
	}
	if c.Late != nil && *c.Late <= 0 {
		return usage("--late=%s: it must be more than 0", *c.Late)
	}
	return nil
}

// servers are those of the flags: by name, of the roster, and those that they describe.
func (c *benchCommand) servers(roster bench.Roster) (servers []bench.Server, err error) {
	if names := c.Peers; len(names) != 1 || names[0] != "none" {
		if servers, err = roster.Pick(names); err != nil {
			return nil, usage("--peers: %w", err)
		}
	}
	for _, spec := range c.Server {
		srv, err := parseServer(spec)
		if err != nil {
			return nil, usage("--server: %w", err)
		}
		for _, other := range servers {
			if other.Name == srv.Name {
				return nil, usage("--server: two servers are called %q: give this one another name=", srv.Name)
			}
		}
		servers = append(servers, srv)
	}
	if len(servers) == 0 {
		return nil, usage("--peers=none: there is nothing to measure; --server names a server")
	}
	return servers, nil
}

// Bounds of what is asked for.
const (
	maxConnections = 1_000_000
	maxRuns        = 10_000
)

func (c *benchCommand) run(args []string, stdin *os.File, stdout, stderr io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program, which is to be started as the servers and clients: %w", err)
	}
	if len(c.From) > 0 {
		return c.render(stdin, stdout)
	}
	bar := newProgress(stderr)
	var measure func(context.Context) (*report.Document, error)
	if c.Restart != nil {
		restarts, err := c.restarting(program)
		if err != nil {
			return err
		}
		restarts.Progress, measure = bar.show, restarts.Measure
	} else {
		cmp, err := c.comparison(program)
		if err != nil {
			return err
		}
		if c.Broadcast {
			return c.broadcast(cmp, stdout, stderr)
		}
		if c.Echo {
			return c.echo(cmp, stdout, stderr)
		}
		cmp.Progress, measure = bar.show, cmp.Measure
	}
	out, err := c.outputs(stdout)
	if err != nil {
		return err
	}
	defer out.close()
	return c.measure(measure, bar, args, out)
}

// render writes what was measured before.
func (c *benchCommand) render(stdin *os.File, stdout io.Writer) error {
	docs, inputs, err := readDocuments(c.From, stdin)
	if err != nil {
		return err
	}
	if c.JSON != nil && len(docs) > 1 {
		return usage("--json holds what one call has measured, and --from names %d", len(docs))
	}
	out, err := c.outputs(stdout, inputs...)
	if err != nil {
		return err
	}
	defer out.close()
	return out.write(docs...)
}

// measure measures, and writes what came of it, also when a signal has cut it short.
func (c *benchCommand) measure(measure func(context.Context) (*report.Document, error), bar *progress, args []string, out *benchOutputs) error {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	defer onInterruption(ctx, func(cut *interruption) {
		bar.interrupt()
		stop(cut)
	})()
	doc, measured := measure(ctx)
	doc.Command = append([]string{"rstserver"}, args...)
	bar.clear()
	var cut *interruption
	if measured != nil && !errors.As(measured, &cut) {
		doc.Warnings = append(doc.Warnings, "the benchmark could not go on: "+measured.Error())
	}
	written := out.write(doc)
	switch {
	case cut != nil:
		return &exitError{code: exitSignal + int(cut.signal), err: errors.Join(cut, written)}
	case measured != nil || written != nil:
		return errors.Join(measured, written)
	case len(doc.Failed) > 0:
		return &exitError{code: exitFailed}
	case len(doc.Cells)+len(doc.Restarted) == 0:
		return errors.New("nothing could be measured: see what was skipped, and why")
	}
	return nil
}

// onInterruption calls f with the first signal that is to end the benchmark, until ctx or the function that it returns ends that. A
// second signal meets the default action, and the kernel ends the processes with this one.
func onInterruption(ctx context.Context, f func(*interruption)) (stop func()) {
	ending := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	var ignored []os.Signal // since this process was started, as by nohup
	for _, sig := range ending {
		if signal.Ignored(sig) {
			ignored = append(ignored, sig)
		}
	}
	signals := make(chan os.Signal, 8) // none is lost behind one that is ignored
	// Those too that are ignored here, which servers would inherit, and one of them may be what ends a server.
	signal.Notify(signals, ending...)
	go func() {
		for {
			select {
			case sig := <-signals:
				if slices.Contains(ignored, sig) {
					continue
				}
				signal.Stop(signals)
				f(&interruption{sig.(syscall.Signal)})
			case <-ctx.Done():
			}
			return
		}
	}()
	return func() { signal.Stop(signals) }
}

// exitSignal is added to the number of the signal that ended the benchmark, as shells do.
const exitSignal = 128

// interruption is a signal that cuts the benchmark short.
type interruption struct{ signal syscall.Signal }

func (i *interruption) Error() string { return "interrupted by " + unix.SignalName(i.signal) }

// readDocuments reads the files, of which - is stdin, and says what they are.
func readDocuments(files []string, stdin *os.File) (docs []*report.Document, inputs []input, err error) {
	for i, name := range files {
		switch {
		case name == "":
			return nil, nil, usage("--from=: it must name a file, or - for stdin")
		case name == "-" && slices.Contains(files[:i], "-"):
			return nil, nil, usage("--from=-: it is there twice, and stdin can be read once")
		}
		doc, in, err := readInput(name, stdin)
		if err != nil {
			return nil, nil, err
		}
		docs, inputs = append(docs, doc), append(inputs, in)
	}
	return docs, inputs, nil
}

func readInput(name string, stdin *os.File) (*report.Document, input, error) {
	f := stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, input{}, usage("--from: %w", err)
		}
		defer f.Close()
	} else if isTerminal(stdin) {
		return nil, input{}, usage("--from=-: stdin is a terminal; have it come from a file or a pipe that has what --json wrote")
	}
	info, err := f.Stat()
	if err != nil {
		return nil, input{}, usage("--from: %w", err)
	}
	doc, err := report.Read(f)
	if err != nil {
		return nil, input{}, usage("--from=%s: %w", name, err)
	}
	return doc, input{name, info}, nil
}
