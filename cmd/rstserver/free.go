package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"rstserver/bench"
	"rstserver/internal/layout"
	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

type freeCommand struct {
	Port      []string      `arg:"" name:"port" help:"TCP ports of this machine: 8080, 8080-8089, :8080; or at an address of it only: 127.0.0.1:8080, localhost:8080."`
	Yes       bool          `short:"y" help:"Do not ask. Without a terminal this or --dry-run is needed."`
	List      bool          `help:"Say whose connections are on the port, the largest groups of peers first, to pick one for --peer. Nothing is touched."`
	DryRun    bool          `help:"Say what would be done, and touch nothing."`
	State     list          `placeholder:"STATE,..." help:"Only sockets in one of these states: established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, close-wait, last-ack, closing. Default: all of these."`
	Peer      list          `placeholder:"NET,..." help:"Only sockets whose remote address is one of these, or in one of these networks: 10.0.0.5, 10.0.0.0/8, fd00::/8. Default: any."`
	Local     list          `placeholder:"NET,..." help:"Only sockets whose local address is one of these, or in one of these networks; the port has to become free at these only. Default: any."`
	Idle      time.Duration `default:"0s" placeholder:"D" help:"Only connections through which no data has gone for this long, in either direction. Where the kernel does not know, as in TIME_WAIT, they are left. Default: any."`
	Queued    int64         `default:"0" placeholder:"N" help:"Only connections with this many bytes in the kernel that the peer has not acknowledged or the process has not read. Default: any."`
	Process   list          `placeholder:"NAME|PID,..." help:"Only sockets that one of these processes has open. Default: any, and those that no process has open."`
	StopOwner bool          `help:"Send SIGTERM, or what --signal names, to the process that listens on the port, and wait for it to let go before the rest is destroyed."`
	Signal    string        `default:"" placeholder:"NAME" help:"What --stop-owner sends: INT, HUP, ... KILL ends also what ignores all else, and leaves it no time to clean up. Default: TERM."`
	Wait      time.Duration `default:"10s" placeholder:"D" help:"How long --stop-owner waits at the most. Default: ${default}."`
	JSON      bool          `name:"json" help:"Print one JSON object in place of text."`
}

// list is a flag's values: given at once with commas between, or one after the other.
type list []string

// Decode implements kong.MapperValue. An empty value is an error: kong takes it for no condition at all, and
// --peer="$UNSET" --yes would destroy everything.
func (l *list) Decode(ctx *kong.DecodeContext) error {
	var value string
	if err := ctx.Scan.PopValueInto("value", &value); err != nil {
		return err
	}
	for item := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(item) == "" {
			return fmt.Errorf("%q lacks a value", value)
		}
		*l = append(*l, strings.TrimSpace(item))
	}
	return nil
}

// Help is what the help says below the first line.
func (*freeCommand) Help() string {
	return "Shows what is on TCP ports of this machine by process and state, and when told to destroys every connection, TIME_WAIT and orphan " +
		"on them (SOCK_DESTROY, for which it needs CAP_NET_ADMIN): peers read ECONNRESET, the processes ECONNABORTED. A socket " +
		"that listens keeps its port whatever is done to it, so it is never destroyed: the process that has it is named. A UDP port is " +
		"another port, which is left alone; who has that of the same number is named too.\n\n" +
		"Exit codes: 0 when the ports are free, which a bind without SO_REUSEADDR has shown; 1 when one is not, also when " +
		"that is because of what was not selected, not confirmed, or only a --dry-run; 2 for wrong usage, and nothing is " +
		"touched then. D is a duration such as 500ms, 10s or 3m."
}

// states that users call differently than the kernel does: as ss prints them, or as it takes them.
var otherStateNames = map[string]sockdiag.State{
	"estab": sockdiag.Established, "listening": sockdiag.Listen, "closed": sockdiag.Close, "unconn": sockdiag.Close,
}

// plans are what the arguments and flags ask for, one for each port.
func (c *freeCommand) plans() ([]*freeport.Plan, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	targets, err := parseTargets(c.Port)
	if err != nil {
		return nil, err
	}
	var plans []*freeport.Plan
	for _, t := range targets {
		each := *p
		each.Select.LocalPort = t.low
		if len(t.local) > 0 {
			if len(c.Local) > 0 {
				return nil, usage("port %s has an address already: leave out --local", c.Port[0])
			}
			each.Select.Local = t.local
		}
		plans = append(plans, &each)
	}
	return plans, nil
}

// plan is what the flags ask for, for any port.
func (c *freeCommand) plan() (*freeport.Plan, error) {
	p := &freeport.Plan{StopOwner: c.StopOwner, Wait: c.Wait}
	p.Select = sockdiag.Selector{Idle: c.Idle, Queued: uint64(max(c.Queued, 0)), Processes: c.Process}
	if c.Signal != "" {
		var err error
		if p.Signal, err = bench.ParseSignal(c.Signal); err != nil {
			return nil, usage("--%w", err)
		}
		if !c.StopOwner {
			return nil, usage("--signal=%s: it is what --stop-owner sends: add that, or leave this out", c.Signal)
		}
	}
	if c.List && (c.Yes || c.StopOwner) {
		return nil, usage("--list touches nothing: leave out --yes and --stop-owner")
	}
	for _, name := range c.State {
		var state sockdiag.State
		if other, ok := otherStateNames[strings.ToLower(name)]; ok {
			state = other
		} else if err := state.UnmarshalText([]byte(name)); err != nil || state == sockdiag.Unknown {
			return nil, usage("--state=%s: no TCP state is called that; see --help", name)
		}
		if s := (sockdiag.Socket{State: state}); s.HoldsPort() {
			return nil, usage("--state=%s: a socket that listens or is only bound is never destroyed, as its process would keep "+
				"the port; --stop-owner stops the process", name)
		}
		p.Select.States = append(p.Select.States, state)
	}
	for _, nets := range []struct {
		flag string
		from list
		to   *[]netip.Prefix
	}{
		{"--peer", c.Peer, &p.Select.Peer},
		{"--local", c.Local, &p.Select.Local},
	} {
		for _, text := range nets.from {
			n, err := sockdiag.ParseNetwork(text)
			if err != nil {
				return nil, usage("%s=%s: it must be an address such as 10.0.0.5 or ::1, or a network such as 10.0.0.0/8", nets.flag, text)
			}
			*nets.to = append(*nets.to, n)
		}
	}
	switch {
	case c.Idle < 0:
		return nil, usage("--idle=%s: it must not be negative", c.Idle)
	case c.Queued < 0:
		return nil, usage("--queued=%d: it must be from 0 to %d", c.Queued, int64(math.MaxInt64))
	case c.Wait <= 0:
		return nil, usage("--wait=%s: it must be more than 0", c.Wait)
	}
	return p, nil
}

// run frees the ports, or says why one is not free.
func (c *freeCommand) run(stdin *os.File, stdout, stderr io.Writer) error {
	plans, err := c.plans()
	if err != nil {
		return err
	}
	var terminal io.Writer // for the question
	if !c.Yes && !c.DryRun && !c.List {
		if terminal = questionTerminal(stdin, stderr, stdout); terminal == nil {
			return usage("there is no terminal to ask on, so nothing was touched: --yes does without, --dry-run shows what would be done")
		}
	}
	overview := stdout
	if c.JSON {
		overview = terminal // stdout is for the one object
	}
	var all freeReports
	for _, plan := range plans {
		rep := &freeReport{plan: plan, tries: c.Yes && !c.DryRun, columns: columnsOf(overview), Port: plan.Select.LocalPort, DryRun: c.DryRun, several: len(plans) > 1}
		all = append(all, rep)
		if err := rep.look(c.List); err != nil {
			return err
		}
		if overview != nil {
			fmt.Fprint(overview, rep.overview())
		}
	}
	act := c.Yes && !c.DryRun
	if terminal != nil && all.any((*freeReport).possible) {
		if act, err = ask(stdin, terminal, all.question()); err != nil {
			return err
		}
		for _, rep := range all {
			rep.Declined = !act
		}
	}
	for i, rep := range all {
		rep.columns = columnsOf(stdout)
		if act && rep.something() {
			var done freeport.Result
			done, rep.After, err = rep.plan.Run()
			rep.Done = &done
		} else {
			rep.After, err = rep.plan.Judge()
		}
		if err != nil {
			return err
		}
		rep.Free = rep.After.Free
		if c.JSON {
			continue
		}
		if rep.Declined && i == 0 {
			fmt.Fprintln(stdout, "nothing was touched")
		}
		fmt.Fprint(stdout, rep.outcome())
	}
	switch {
	case c.JSON && len(all) == 1:
		printJSON(stdout, all[0])
	case c.JSON:
		printJSON(stdout, struct {
			Ports freeReports `json:"ports"`
			Free  bool        `json:"free"`
		}{all, all.free()})
	case len(all) > 1:
		fmt.Fprint(stdout, all.summary(columnsOf(stdout)))
	}
	if !all.free() {
		return &exitError{code: exitFailed}
	}
	return nil
}

// ask puts a question and reports whether the answer is yes. The end of the input is no answer.
func ask(stdin io.Reader, terminal io.Writer, question string) (yes bool, err error) {
	b := layout.Text{Columns: columnsOf(terminal)}
	const room = "____" // for the answer
	b.Wrap("", "  ", question+" [y/N]"+room)
	fmt.Fprint(terminal, strings.TrimSuffix(b.String(), room+"\n")+" ")
	answer, err := bufio.NewReader(stdin).ReadString('\n')
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(terminal)
		err = nil
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, err
	}
	return false, err
}
