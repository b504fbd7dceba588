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
	N         list          `default:"10000" placeholder:"N,..." help:"Numbers of connections. Where one process may not hold as many, there are several: of the clients, and of a server that can share its port. Default: ${default}."`
	Kind      []string      `default:"idle" sep:"none" placeholder:"KIND" help:"What the connections are doing: a kind, or several with their shares, such as idle=80,in-flight=20. May be given again. Default: ${default}."`
	Runs      int           `default:"5" placeholder:"N" help:"Runs of each server, with each number of connections and each mix. The servers take turns. Default: ${default}."`
	Wire      int           `default:"0" placeholder:"N" help:"Runs after these in which the kernel's time stamps say when each connection was ended on the wire; with --html they are what its curve is drawn from. Needs CAP_NET_RAW. Default: ${default}."`
	Peers     list          `default:"default" placeholder:"NAME,..." help:"Servers to measure, by the names above; none for those of --server alone. Default: rstserver's three ways, the floor, net/http Close."`
	PeersDir  string        `default:"bin/peers" placeholder:"DIR" help:"Where make peers has put the servers that are not in this program. Default: ${default}."`
	Server    []string      `sep:"none" placeholder:"SPEC" help:"Measure this one too: name=NAME,cmd=COMMAND and more, see above. May be given again."`
	Settle    time.Duration `default:"1s" placeholder:"D" help:"How long sockets that are left on the port are watched, from the end of the server on. 70s shows the end of TIME_WAIT. Default: ${default}."`
	Timeout   time.Duration `default:"10s" placeholder:"D" help:"How long a server may take to listen, and to end, after which it is killed; in-flight requests add theirs. Default: ${default}."`
	Late      time.Duration `default:"5s" placeholder:"D" help:"How long an in-flight request takes, which has to be longer than it takes to open all connections. Default: ${default}."`
	Broadcast bool          `help:"Measure something else: how long a message of one WebSocket takes to all, and the server's processor time for it. The first of --n counts, and --runs, --peers, --server and --json."`
	Bytes     int           `default:"116" placeholder:"N" help:"Length of the message of --broadcast. Default: ${default}."`
	JSON      *string       `name:"json" placeholder:"FILE" help:"Write everything to FILE, every sample included; - for stdout, in place of the tables."`
	HTML      *string       `name:"html" placeholder:"FILE" help:"Write a page with charts to FILE, which needs nothing else; - for stdout, in place of the tables."`
	Markdown  *string       `placeholder:"FILE" help:"Write the tables, with the commands and the machine's facts, to FILE; - for stdout, in place of the tables."`
	Explain   bool          `help:"Write what the figures mean behind them."`
	From      []string      `sep:"none" placeholder:"FILE" help:"Measure nothing: read what --json has written before, - for stdin, and write it in the other forms, to other files. May be given again."`
}

// outputFlags are those that --from can be used with.
var outputFlags = []string{"explain", "from", "html", "json", "markdown"}

// AfterApply implements kong's hook of that name: what would have no effect is refused.
func (c *benchCommand) AfterApply(ctx *kong.Context) error {
	if len(c.From) == 0 {
		return nil
	}
	for _, p := range ctx.Path {
		if p.Flag != nil && !slices.Contains(outputFlags, p.Flag.Name) {
			return fmt.Errorf("--from: nothing is measured with it, so --%s has no effect: leave it out", p.Flag.Name)
		}
	}
	return nil
}

// peersRemedy is what makes the servers in --peers-dir.
const peersRemedy = "make peers"

// comparison is what the flags ask for. program is this one.
func (c *benchCommand) comparison(program string) (*bench.Comparison, error) {
	cmp := &bench.Comparison{
		Runs: c.Runs, Wire: c.Wire, Settle: c.Settle, Timeout: c.Timeout, Late: c.Late,
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
		cmp.Shares = append(cmp.Shares, shares)
	}
	if c.Runs < 1 || c.Runs > maxRuns {
		return nil, usage("--runs=%d: it must be from 1 to %s", c.Runs, prose.Grouped(maxRuns))
	}
	if c.Wire < 0 || c.Wire > maxRuns {
		return nil, usage("--wire=%d: it must be from 0 to %s", c.Wire, prose.Grouped(maxRuns))
	}
	if c.Settle < 0 {
		return nil, usage("--settle=%s: it must not be negative", c.Settle)
	}
	if c.Timeout <= 0 {
		return nil, usage("--timeout=%s: it must be more than 0", c.Timeout)
	}
	if c.Late <= 0 {
		return nil, usage("--late=%s: it must be more than 0", c.Late)
	}
	roster := bench.NewRoster(program, c.PeersDir, peersRemedy)
	if names := c.Peers; len(names) != 1 || names[0] != "none" {
		servers, err := roster.Pick(names)
		if err != nil {
			return nil, usage("--peers: %w", err)
		}
		cmp.Servers = servers
	}
	for _, spec := range c.Server {
		srv, err := parseServer(spec)
		if err != nil {
			return nil, usage("--server: %w", err)
		}
		for _, other := range cmp.Servers {
			if other.Name == srv.Name {
				return nil, usage("--server: two servers are called %q: give this one another name=", srv.Name)
			}
		}
		cmp.Servers = append(cmp.Servers, srv)
	}
	if len(cmp.Servers) == 0 {
		return nil, usage("--peers=none: there is nothing to measure; --server names a server")
	}
	return cmp, nil
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
	cmp, err := c.comparison(program)
	if err != nil {
		return err
	}
	if c.Broadcast {
		return c.broadcast(cmp, stdout, stderr)
	}
	out, err := c.outputs(stdout)
	if err != nil {
		return err
	}
	defer out.close()
	return c.measure(cmp, args, out, stderr)
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
func (c *benchCommand) measure(cmp *bench.Comparison, args []string, out *benchOutputs, stderr io.Writer) error {
	bar := newProgress(stderr)
	cmp.Progress = bar.show
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	defer onInterruption(ctx, func(cut *interruption) {
		bar.interrupt()
		stop(cut)
	})()
	doc, measured := cmp.Measure(ctx)
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
	case len(doc.Cells) == 0:
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
