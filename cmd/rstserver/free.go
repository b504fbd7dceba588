package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"rstserver/internal/layout"
	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

type freeCommand struct {
	Port      string        `arg:"" help:"Local port, 1 to 65535."`
	Yes       bool          `short:"y" help:"Do not ask. Without a terminal this or --dry-run is needed."`
	DryRun    bool          `help:"Say what would be done, and touch nothing."`
	State     list          `placeholder:"STATE,..." help:"Only sockets in one of these states: established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, close-wait, last-ack, closing. Default: all of these."`
	Peer      list          `placeholder:"NET,..." help:"Only sockets whose remote address is one of these, or in one of these networks: 10.0.0.5, 10.0.0.0/8, fd00::/8. Default: any."`
	Local     list          `placeholder:"NET,..." help:"Only sockets whose local address is one of these, or in one of these networks; the port has to become free at these only. Default: any."`
	Idle      time.Duration `default:"0s" placeholder:"D" help:"Only connections through which no data has gone for this long, in either direction. Where the kernel does not know, as in TIME_WAIT, they are left. Default: any."`
	Queued    int64         `default:"0" placeholder:"N" help:"Only connections with this many bytes in the kernel that the peer has not acknowledged or the process has not read. Default: any."`
	Process   list          `placeholder:"NAME|PID,..." help:"Only sockets that one of these processes has open. Default: any, and those that no process has open."`
	StopOwner bool          `help:"Send SIGTERM to the process that listens on the port, and wait for it to let go before the rest is destroyed. It is never sent SIGKILL."`
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
	return "Shows what is on a local port by process and state, and when told to destroys every connection, TIME_WAIT and orphan " +
		"on it (SOCK_DESTROY, for which it needs CAP_NET_ADMIN): peers read ECONNRESET, the processes ECONNABORTED. A socket " +
		"that listens keeps its port whatever is done to it, so it is never destroyed: the process that has it is named.\n\n" +
		"Exit codes: 0 when the port is free, which a bind without SO_REUSEADDR has shown; 1 when it is not, also when " +
		"that is because of what was not selected, not confirmed, or only a --dry-run; 2 for wrong usage, and nothing is " +
		"touched then. D is a duration such as 500ms, 10s or 3m."
}

// states that users call differently than the kernel does: as ss prints them, or as it takes them.
var otherStateNames = map[string]sockdiag.State{
	"estab": sockdiag.Established, "listening": sockdiag.Listen, "closed": sockdiag.Close, "unconn": sockdiag.Close,
}

// plan is what the flags ask for.
func (c *freeCommand) plan() (*freeport.Plan, error) {
	port, err := strconv.ParseUint(c.Port, 10, 16)
	if err != nil || port == 0 {
		return nil, usage("port %q: it has to be a number from 1 to 65535", c.Port)
	}
	p := &freeport.Plan{StopOwner: c.StopOwner, Wait: c.Wait}
	p.Select = sockdiag.Selector{LocalPort: uint16(port), Idle: c.Idle, Queued: uint64(max(c.Queued, 0)), Processes: c.Process}
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

// run frees the port, or says why it is not free.
func (c *freeCommand) run(stdin *os.File, stdout, stderr io.Writer) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	var terminal io.Writer // for the question
	if !c.Yes && !c.DryRun {
		if terminal = questionTerminal(stdin, stderr, stdout); terminal == nil {
			return usage("there is no terminal to ask on, so nothing was touched: --yes does without, --dry-run shows what would be done")
		}
	}
	rep := freeReport{plan: plan, tries: c.Yes && !c.DryRun, columns: columnsOf(stdout), Port: plan.Select.LocalPort, DryRun: c.DryRun}
	if rep.Before, err = plan.Look(); err != nil {
		return err
	}
	if rep.Before.Selected.Total() > 0 {
		if err := sockdiag.CanDestroy(); err != nil {
			rep.CannotDestroy = explainRefusal(err)
		}
	}
	overview := stdout
	if c.JSON {
		overview = terminal // stdout is for the one object
		rep.columns = columnsOf(terminal)
	}
	if overview != nil {
		fmt.Fprint(overview, rep.overview())
	}
	act := rep.tries && rep.something()
	if terminal != nil && rep.possible() {
		if act, err = ask(stdin, terminal, rep.question()); err != nil {
			return err
		}
		rep.Declined = !act
	}
	if act {
		rep.Done, rep.After, err = plan.Run()
	} else {
		rep.After, err = plan.Judge()
	}
	if err != nil {
		return err
	}
	if c.JSON {
		rep.Free = rep.After.Free
		printJSON(stdout, rep)
	} else {
		fmt.Fprint(stdout, rep.outcome())
	}
	if !rep.After.Free {
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
