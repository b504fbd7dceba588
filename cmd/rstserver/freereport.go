package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rstserver/internal/layout"
	"rstserver/internal/prose"
	"rstserver/linger/freeport"
	"rstserver/linger/sockdiag"
)

// freeReport is what 'rstserver free' has seen and done. It is printed as text or as JSON.
type freeReport struct {
	plan  *freeport.Plan
	tries bool // it will be tried whatever is known beforehand

	columns int  // of the terminal
	lists   bool // peers are listed
	several bool // it is one of several: what is ordinary is left to the summary

	Port   uint16 `json:"port"`
	DryRun bool   `json:"dry_run"`
	// Declined: the user was asked and did not say yes.
	Declined bool `json:"declined"`
	// Before is what was on the port, and After what is, with nothing touched where Done is nil.
	Before freeport.Overview `json:"before"`
	// Peers are the largest groups of peers, where they were asked for, and OtherPeers those of all others.
	Peers      []freeport.Peers `json:"peers,omitempty"`
	OtherPeers sockdiag.Counts  `json:"other_peers,omitzero"`
	// CannotDestroy says why sockets could not be destroyed, as far as that can be told beforehand.
	CannotDestroy string           `json:"cannot_destroy,omitempty"`
	Done          *freeport.Result `json:"done,omitempty"`
	After         freeport.Verdict `json:"after"`
	// Free is that of After, which the exit code follows.
	Free bool `json:"free"`
}

// something reports whether there is anything to do.
func (r *freeReport) something() bool { return r.Before.Selected.Total() > 0 || r.stops() }

// stops reports whether owners are to be stopped.
func (r *freeReport) stops() bool { return r.plan.StopOwner && len(r.Before.Owners) > 0 }

// possible reports whether there is anything to do that can be.
func (r *freeReport) possible() bool {
	return r.something() && (r.CannotDestroy == "" || r.stops())
}

// text is empty, for the terminal that the report is for.
func (r *freeReport) text() *layout.Text { return &layout.Text{Columns: r.columns} }

// look finds out what is on the port.
func (r *freeReport) look(peers bool) (err error) {
	if r.Before, err = r.plan.Look(); err != nil {
		return err
	}
	if r.Before.Selected.Total() > 0 {
		if err := sockdiag.CanDestroy(); err != nil {
			r.CannotDestroy = explainRefusal(err)
		}
	}
	if peers {
		const most = 10
		r.Peers, r.OtherPeers, err = r.plan.LargestPeers(most)
		r.lists = true
	}
	return err
}

// overview is what is on the port and what of it is meant.
func (r *freeReport) overview() string {
	b := r.text()
	switch {
	case len(r.Before.Rows) > 0:
		b.Line(fmt.Sprintf("port %d:", r.Port))
		writeRows(b, r.Before.Rows)
		r.writeOutgoing(b)
	case !r.several || len(r.Before.Elsewhere) > 0 || len(r.Before.UDP) > 0 || r.Before.UDPHidden > 0:
		b.Line(fmt.Sprintf("port %d: nothing is on it in this network namespace", r.Port))
	default:
		return ""
	}
	for _, e := range r.Before.Elsewhere {
		r.writeElsewhere(b, e)
	}
	r.writeUDP(b)
	if r.lists {
		r.writePeers(b)
		return b.String()
	}
	if n := r.Before.IdleUnknown; n.Total() > 0 {
		b.Wrap("", "  ", fmt.Sprintf("not selected, as the kernel does not know since when they are idle: %s (%s)",
			prose.Plural(n.Total(), "socket"), n))
	}
	if r.CannotDestroy != "" && !r.tries {
		b.Wrap("", "  ", "nothing can be destroyed from here: "+r.CannotDestroy)
	}
	if r.DryRun && len(r.Before.Rows) > 0 {
		r.writeWould(b)
	}
	return b.String()
}

// writeOutgoing names connections that were made from the port.
func (r *freeReport) writeOutgoing(b *layout.Text) {
	for _, row := range r.Before.Rows {
		if row.Outgoing {
			b.Wrap("", "  ", fmt.Sprintf("outgoing: %s of %s, from this port to %s", prose.Plural(row.Count, "connection"), rowOwner(row), addresses(row.Peers)))
		}
	}
}

// writeUDP names who has the UDP port.
func (r *freeReport) writeUDP(b *layout.Text) {
	var who []string
	for _, h := range r.Before.UDP {
		who = append(who, fmt.Sprintf("%s at %s", prose.Printable(h.Process.String()), h.Local))
	}
	if n := r.Before.UDPHidden; n > 0 {
		who = append(who, pick(n, "a process that cannot be seen from here", "processes that cannot be seen from here"))
	}
	if len(who) > 0 {
		b.Wrap("", "  ", fmt.Sprintf("UDP port %d, which is another one and left alone, is taken: by %s", r.Port, prose.Enumerate(who)))
	}
}

// writePeers writes the largest groups of peers, and how one of them is picked.
func (r *freeReport) writePeers(b *layout.Text) {
	if len(r.Peers) == 0 {
		b.Line("no connection has a peer")
		return
	}
	table := [][]string{{"SOCKETS", "PEER", "STATES"}}
	for _, p := range r.Peers {
		table = append(table, []string{prose.Grouped(p.Counts.Total()), peerName(p), p.Counts.String()})
	}
	b.Table(table, []bool{true, false, false})
	if n := r.OtherPeers.Total(); n > 0 {
		b.Line(fmt.Sprintf("  and %s of others", prose.Plural(n, "socket")))
	}
	b.Wrap("", "  ", "those of the first, for one, are destroyed by:")
	b.Line("  " + r.again("--peer "+peerName(r.Peers[0])))
}

func peerName(p freeport.Peers) string {
	if p.Net.IsSingleIP() {
		return p.Net.Addr().String()
	}
	return p.Net.String()
}

// writeElsewhere writes what another network namespace has on the port, and how to get there.
func (r *freeReport) writeElsewhere(b *layout.Text, e freeport.Elsewhere) {
	who := prose.Printable(e.Process.String())
	what := fmt.Sprintf("in another network namespace, that of %s, there is: %s.", who, e.Counts)
	if e.HoldsThePort {
		what = fmt.Sprintf("%s holds it in another network namespace, where there is: %s.", who, e.Counts)
	}
	b.Wrap("", "  ", what+" From here that can neither be seen nor freed; from there it can:")
	b.Line(fmt.Sprintf("  nsenter -t %d -n %s free %d", e.PID, self, r.Port))
}

func (r *freeReport) writeWould(b *layout.Text) {
	if r.stops() {
		b.Wrap("", "  ", "would send "+unix.SignalName(r.signal())+" to "+processNames(r.Before.Owners))
	}
	if n := r.Before.Selected.Total(); n > 0 {
		b.Wrap("", "  ", fmt.Sprintf("would destroy %s (%s)", prose.Plural(n, "socket"), r.Before.Selected))
	} else {
		b.Line("would destroy nothing")
	}
}

// outcome is what was done, and whether the port is free.
func (r *freeReport) outcome() string {
	b := r.text()
	if r.Done != nil {
		r.writeDone(b)
	}
	if !r.several || !r.After.Free {
		r.writeVerdict(b)
	}
	return b.String()
}

func (r *freeReport) writeDone(b *layout.Text) {
	d := r.Done
	for _, s := range d.Stopped {
		who := prose.Printable(s.Process.String())
		signal := unix.SignalName(r.signal())
		switch {
		case s.LetGo && s.Signalled && s.Unit != "":
			b.Wrap("", "  ", fmt.Sprintf("%s was sent %s, and has let go of the port; it was of %s: should systemd start that again, it ends by", who, signal, prose.Printable(s.Unit)))
			b.Line("  " + stopUnit(s.Circumstance))
		case s.LetGo && s.Signalled:
			b.Wrap("", "  ", fmt.Sprintf("%s was sent %s, and has let go of the port", who, signal))
		case s.LetGo:
			b.Wrap("", "  ", who+" had let go of the port by itself")
		case s.Signalled:
			b.Wrap("", "  ", fmt.Sprintf("%s was sent %s: %s", who, signal, s.Reason))
		default:
			b.Wrap("", "  ", fmt.Sprintf("%s was not sent %s: %s", who, signal, s.Reason))
		}
	}
	if d.Successor {
		b.Wrap("", "  ", "somebody else has begun to listen meanwhile: what came to the port since then is left alone")
	}
	if d.Destroyed > 0 || d.Gone > 0 || len(d.Refused) == 0 && len(d.Stopped) == 0 {
		line := "destroyed " + prose.Plural(d.Destroyed, "socket")
		if d.Gone > 0 {
			line += fmt.Sprintf("; %s more ended by %s meanwhile", prose.Grouped(d.Gone), pick(d.Gone, "itself", "themselves"))
		}
		b.Wrap("", "  ", line)
	}
	for _, refused := range d.Refused {
		b.Wrap("", "  ", fmt.Sprintf("not destroyed: %s (%s): %s", prose.Plural(refused.Counts.Total(), "socket"), refused.Counts,
			explainRefusal(refused.Err)))
	}
	if d.Survived > 0 {
		b.Wrap("", "  ", fmt.Sprintf("the kernel says that it has destroyed %s more and still has %s: before Linux 6.11 it "+
			"does that with connections that are closed and have something to send", prose.Plural(d.Survived, "socket"),
			pick(d.Survived, "it", "them")))
	}
	if d.Coming {
		b.Wrap("", "  ", fmt.Sprintf("gave up after %s: more came each time, as clients come back while somebody listens",
			prose.Plural(d.Rounds, "round")))
	}
}

func (r *freeReport) writeVerdict(b *layout.Text) {
	v := &r.After
	if v.Free {
		where := ""
		if len(r.Before.Elsewhere) > 0 {
			where = " in this network namespace"
		}
		b.Wrap("", "  ", fmt.Sprintf("port %d is free%s: %s could be bound without SO_REUSEADDR", r.Port, where, addresses(v.Bound)))
		return
	}
	switch {
	case v.Err == nil && len(v.Bound) == 0:
		b.Wrap("", "  ", fmt.Sprintf("port %d: nothing could be bound, as this machine has none of the addresses of --local", r.Port))
		return
	case errors.Is(v.Err, syscall.EACCES):
		b.Wrap("", "  ", fmt.Sprintf("port %d could not be verified to be free: to bind a port this low takes root or "+
			"CAP_NET_BIND_SERVICE (%v)", r.Port, v.Err))
	case !v.InUse():
		b.Wrap("", "  ", fmt.Sprintf("port %d could not be verified to be free: %v", r.Port, v.Err))
	default:
		b.Line(fmt.Sprintf("port %d is not free:", r.Port))
	}
	r.writeHolders(b)
	if v.Hidden > 0 {
		b.Wrap("  ", "    ", pick(v.Hidden, "a process that cannot be seen from here holds it", "processes that cannot be seen from here hold it"))
		r.adviceOnHidden(v.Hiding).write(b)
	}
	if n := v.Left.Total(); n > 0 {
		where := "on it"
		if r.Done != nil {
			where = "left"
		}
		line := fmt.Sprintf("%s %s %s: %s", prose.Plural(n, "socket"), pick(n, "is", "are"), where, v.Left)
		if n == v.Left[sockdiag.TimeWait] && len(v.Holders) == 0 && v.Hidden == 0 {
			line += fmt.Sprintf("; %s within 60 s, and meanwhile a server can listen that sets SO_REUSEADDR, if the one before did, as most do", pick(n, "it ends", "they end"))
		}
		b.Wrap("  ", "    ", line)
	}
	if len(v.Holders) == 0 && v.Hidden == 0 && v.Left.Total() == 0 && v.InUse() {
		b.Wrap("  ", "    ", "what has it is not listed: before Linux 6.8 a socket that is bound and does nothing else is not")
	}
}

// writeHolders writes who holds the port, a line for each address, and behind the first of a process what ends that.
func (r *freeReport) writeHolders(b *layout.Text) {
	type socket struct {
		local netip.AddrPort
		state sockdiag.State
	}
	var sockets []socket
	by := make(map[socket][]freeport.Holder)
	for _, h := range r.After.Holders {
		s := socket{h.Local, h.State}
		if by[s] == nil {
			sockets = append(sockets, s)
		}
		by[s] = append(by[s], h)
	}
	advised := make(map[int]bool)
	var given []advice
	for _, s := range sockets {
		n := len(by[s])
		how := pick(n, "listens on", "listen on")
		if s.state == sockdiag.Close {
			how = pick(n, "has bound", "have bound")
		}
		var processes []freeport.Process
		for _, h := range by[s] {
			processes = append(processes, h.Process)
		}
		b.Wrap("  ", "    ", fmt.Sprintf("%s %s %s", processNames(processes), how, s.local))
		for _, h := range by[s] {
			// What ends all of them, such as a unit, is said once.
			if a := r.adviceOn(h); !advised[h.PID] && !slices.Contains(given, a) {
				a.write(b)
				given = append(given, a)
			}
			advised[h.PID] = true
		}
	}
}

// explainRefusal is a reason for which sockets are not destroyed, and what can be done about it.
func explainRefusal(err error) string {
	switch {
	case errors.Is(err, sockdiag.ErrNotPermitted):
		return "that needs CAP_NET_ADMIN: run it as root, for example with sudo; from a container or in a user namespace, as root of the machine"
	case errors.Is(err, sockdiag.ErrNotSupported):
		return "this kernel was built without CONFIG_INET_DIAG_DESTROY, so only the processes themselves can end their " +
			"connections; TIME_WAIT ends by itself within 60 s"
	case errors.Is(err, sockdiag.ErrTimeWait):
		return "a kernel before Linux 6.0 does not destroy that; it ends by itself within 60 s"
	case errors.Is(err, sockdiag.ErrNoCookie):
		return "the kernel does not answer over netlink here, and /proc does not tell sockets well enough apart to destroy them"
	}
	return err.Error()
}

// writeRows writes the table of what is on the port.
func writeRows(b *layout.Text, rows []freeport.Row) {
	const most = 40 // a screenful; the JSON has all
	more := 0
	if len(rows) > most {
		more = len(rows) - most
		rows = rows[:most]
	}
	partly := slices.ContainsFunc(rows, func(r freeport.Row) bool { return r.Selected != r.Count && !r.HoldsPort() })
	table := [][]string{{"SOCKETS", "STATE", "PROCESS", "LOCAL ADDRESS"}}
	if partly {
		table[0] = slices.Insert(table[0], 1, "SELECTED")
	}
	for _, r := range rows {
		local := make([]string, len(r.Local))
		for i, ip := range r.Local {
			local[i] = ip.String()
		}
		cells := []string{prose.Grouped(r.Count), r.State.String(), rowOwner(r), strings.Join(local, ", ")}
		if partly {
			selected := prose.Grouped(r.Selected)
			if r.HoldsPort() {
				selected = "-"
			}
			cells = slices.Insert(cells, 1, selected)
		}
		table = append(table, cells)
	}
	right := make([]bool, len(table[0]))
	for i := range len(table[0]) - 3 {
		right[i] = true
	}
	b.Table(table, right)
	if more > 0 {
		b.Line(fmt.Sprintf("  and %s more of other processes and states; --json has all", prose.Plural(more, "row")))
	}
}

// rowOwner names who has the sockets of a row open.
func rowOwner(r freeport.Row) string {
	if len(r.Processes) == 0 {
		return "none: " + string(r.Unowned)
	}
	s := prose.Printable(r.Processes[0].String())
	if n := len(r.Processes) - 1; n > 0 {
		s += fmt.Sprintf(" +%d", n)
	}
	return s
}

func processNames(processes []freeport.Process) string {
	const most = 5
	var list []string
	for i, p := range processes {
		if i == most {
			list = append(list, fmt.Sprintf("%d more", len(processes)-most))
			break
		}
		list = append(list, prose.Printable(p.String()))
	}
	return prose.Enumerate(list)
}

func addresses(bound []netip.AddrPort) string {
	const most = 5
	var list []string
	for i, a := range bound {
		if i == most {
			list = append(list, fmt.Sprintf("%d more", len(bound)-most))
			break
		}
		list = append(list, a.String())
	}
	return prose.Enumerate(list)
}

// pick is one for one of something, and more for any other number.
func pick(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}
