//go:build linux

package freeport

import (
	"cmp"
	"net/netip"
	"slices"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// Overview is what is on the port, and what of it the Plan means.
type Overview struct {
	// Rows are the sockets by process and state: those that hold the port first, then the most frequent.
	Rows []Row `json:"sockets"`
	// Selected counts those that are to be destroyed.
	Selected sockdiag.Counts `json:"selected"`
	// IdleUnknown counts sockets that meet every condition but Idle, as the kernel does not know when data last went through.
	IdleUnknown sockdiag.Counts `json:"idle_unknown"`
	// Owners are the processes that hold the port and that the Plan would stop.
	Owners []Process `json:"owners"`
	// OwnersHidden: a socket holds the port, and what process has it open cannot be seen.
	OwnersHidden bool `json:"owners_hidden"`
	// UDP are the processes that have the UDP port of the same number, which is another port and left alone. UDPHidden is the number of
	// its sockets whose processes cannot be seen.
	UDP       []Holder `json:"udp,omitempty"`
	UDPHidden int      `json:"udp_hidden,omitempty"`
	// Elsewhere is what other network namespaces have on the port. They are looked at when this one has nothing.
	Elsewhere []Elsewhere `json:"elsewhere,omitempty"`
}

// Row is sockets of one state that the same processes have open.
type Row struct {
	State sockdiag.State `json:"state"`
	// Processes have the sockets open, in the order of their numbers. If there are none, Unowned says why.
	Processes []Process `json:"processes"`
	Unowned   Unowned   `json:"without_process,omitempty"`
	// Count is the number of sockets, and Selected how many of them the Plan picks.
	Count    int `json:"count"`
	Selected int `json:"selected"`
	// Local are the local addresses, each once.
	Local []netip.Addr `json:"local_addresses"`
	// Outgoing: they are connections that the processes have made from the port; see sockdiag.Traffic. Peers are where to, each once.
	Outgoing bool             `json:"outgoing,omitempty"`
	Peers    []netip.AddrPort `json:"peers,omitempty"`
	// Queued is the number of bytes that wait in the kernel; see sockdiag.Socket.
	Queued uint64 `json:"queued_bytes"`
}

// HoldsPort reports whether the sockets keep the port through a descriptor; see sockdiag.Socket.
func (r *Row) HoldsPort() bool { return (&sockdiag.Socket{State: r.State}).HoldsPort() }

// Unowned says why a socket has no process.
type Unowned string

// The reasons.
const (
	NotAccepted Unowned = "not accepted yet" // in the queue of a listening socket
	Closed      Unowned = "closed"           // its process has closed it, and it is on its way out
	Hidden      Unowned = "cannot be seen"   // its process is another user's, or in another PID namespace
)

// Elsewhere is what another network namespace has on the port.
type Elsewhere struct {
	Process                      // in that namespace; one that holds the port if that can be seen
	Counts       sockdiag.Counts `json:"sockets"`
	HoldsThePort bool            `json:"holds_the_port"` // Process does
}

// view is what the kernel has on the port at one moment.
type view struct {
	plan    *Plan
	sockets []sockdiag.Socket
	// holders are the processes that have a socket open, by its inode: each once, in the order of their numbers.
	holders map[uint32][]sockdiag.Process
}

// look asks the kernel, and /proc for the processes.
func (p *Plan) look() (*view, error) {
	v, err := p.glance()
	if err != nil {
		return nil, err
	}
	return v, v.identify()
}

// glance is look without the processes.
func (p *Plan) glance() (*view, error) {
	ask := sockdiag.Port
	if p.Select.Idle > 0 {
		ask = sockdiag.Inspect
	}
	d, err := p.dump(ask)
	if err != nil {
		return nil, err
	}
	return p.view(d), nil
}

// dump asks the kernel what is on the port, if the Plan makes sense.
func (p *Plan) dump(ask func(port uint16) (sockdiag.Dump, error)) (sockdiag.Dump, error) {
	if err := p.check(); err != nil {
		return sockdiag.Dump{}, err
	}
	return ask(p.Select.LocalPort)
}

func (p *Plan) view(d sockdiag.Dump) *view {
	if d.Source == sockdiag.FromProc && len(p.Select.Local) > 0 {
		findOnlyIPv6(d.Sockets, linger.TryBind)
	}
	return &view{plan: p, sockets: d.Sockets}
}

// findOnlyIPv6 fills in what /proc does not say. A socket on all IPv6 addresses that is on those of IPv4 too has every one of these, also
// one that nobody uses.
func findOnlyIPv6(sockets []sockdiag.Socket, bind func(netip.AddrPort) error) {
	all := func(v6 bool) int {
		return slices.IndexFunc(sockets, func(s sockdiag.Socket) bool {
			return s.HoldsPort() && s.Local.Addr().IsUnspecified() && s.Local.Addr().Is6() == v6
		})
	}
	first := all(true)
	if first < 0 {
		return
	}
	unused := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 203, 59, 1}), sockets[first].Local.Port())
	if all(false) < 0 && bind(unused) != nil {
		return
	}
	for i := range sockets {
		s := &sockets[i]
		s.OnlyIPv6 = s.OnlyIPv6 || s.HoldsPort() && s.Local.Addr().IsUnspecified() && s.Local.Addr().Is6()
	}
}

// identify finds the processes.
func (v *view) identify() error {
	all, _, err := sockdiag.Dump{Sockets: v.sockets}.Holders()
	if err != nil {
		return err
	}
	v.holders = make(map[uint32][]sockdiag.Process)
	for _, h := range all {
		v.holders[h.Socket.Inode] = append(v.holders[h.Socket.Inode], h)
	}
	return nil
}

// concerned reports whether s is in the way at an address that the plan is about.
func (v *view) concerned(s *sockdiag.Socket) bool {
	return len(v.plan.Select.Local) == 0 || slices.ContainsFunc(v.plan.Select.Local, func(n netip.Prefix) bool {
		if n.IsSingleIP() || s.Local.Addr().IsUnspecified() {
			return s.Blocks(n.Addr()) // of a network on all addresses the family is all that counts
		}
		return (&sockdiag.Selector{Local: []netip.Prefix{n}}).Match(s)
	})
}

// selected returns what is to be destroyed.
func (v *view) selected() []sockdiag.Socket {
	var selected []sockdiag.Socket
	for i := range v.sockets {
		if s := &v.sockets[i]; v.isSelected(s) {
			selected = append(selected, *s)
		}
	}
	return selected
}

// anywhere is Select without Local, which is for concerned: to a Selector 0.0.0.0 is an address like others.
func (p *Plan) anywhere() *sockdiag.Selector {
	sel := p.Select
	sel.Local = nil
	return &sel
}

func (v *view) isSelected(s *sockdiag.Socket) bool {
	return !s.HoldsPort() && v.concerned(s) && v.plan.anywhere().Match(s, v.holders[s.Inode]...)
}

// holding returns the sockets that hold the port at an address that the plan is about.
func (v *view) holding() []sockdiag.Socket {
	return slices.DeleteFunc(slices.Clone(v.sockets), func(s sockdiag.Socket) bool { return !s.HoldsPort() || !v.concerned(&s) })
}

// owners returns the processes that the plan would stop, in the order of their numbers. hidden is true when there are
// sockets that hold the port and whose processes cannot be seen.
func (v *view) owners() (owners []sockdiag.Process, hidden bool) {
	for _, s := range v.holding() {
		holders := v.holders[s.Inode]
		hidden = hidden || len(holders) == 0
		for _, h := range holders {
			if v.plan.Select.MatchProcess(h) && !slices.ContainsFunc(owners, func(p sockdiag.Process) bool { return p.PID == h.PID }) {
				owners = append(owners, h)
			}
		}
	}
	slices.SortFunc(owners, func(a, b sockdiag.Process) int { return cmp.Compare(a.PID, b.PID) })
	return owners, hidden
}

// Look says what is on the port, without touching anything. The error says that neither netlink nor /proc can be asked, or which field of
// the Plan makes no sense.
func (p *Plan) Look() (Overview, error) {
	d, err := p.dump(sockdiag.Inspect) // which says which connections are outgoing, for one
	if err != nil {
		return Overview{}, err
	}
	v := p.view(d)
	if err := v.identify(); err != nil {
		return Overview{}, err
	}
	o := v.overview()
	o.UDP, o.UDPHidden = p.udp()
	return o, nil
}

func (v *view) overview() Overview {
	var o Overview
	anyIdle := v.plan.anywhere()
	anyIdle.Idle = 0
	type key struct {
		state    sockdiag.State
		who      string
		outgoing bool
	}
	rows := make(map[key]*Row)
	for i := range v.sockets {
		s := &v.sockets[i]
		holders := v.holders[s.Inode]
		k := key{s.State, string(unowned(s)), s.Traffic.Outgoing && len(holders) > 0}
		if len(holders) > 0 {
			k.who = names(holders)
		}
		row := rows[k]
		if row == nil {
			row = &Row{State: s.State, Processes: processes(holders), Outgoing: k.outgoing}
			if len(holders) == 0 {
				row.Unowned = unowned(s)
			}
			rows[k] = row
		}
		row.Count++
		row.Queued += s.Queued()
		if !slices.Contains(row.Local, s.Local.Addr()) {
			row.Local = append(row.Local, s.Local.Addr())
		}
		if row.Outgoing && !slices.Contains(row.Peers, s.Remote) {
			row.Peers = append(row.Peers, s.Remote)
		}
		if v.isSelected(s) {
			row.Selected++
			o.Selected[known(s.State)]++
		} else if !s.HoldsPort() && !s.Traffic.Known && v.concerned(s) && anyIdle.Match(s, holders...) {
			o.IdleUnknown[known(s.State)]++
		}
	}
	o.Rows = make([]Row, 0, len(rows))
	for _, row := range rows {
		slices.SortFunc(row.Local, netip.Addr.Compare)
		o.Rows = append(o.Rows, *row)
	}
	slices.SortFunc(o.Rows, compareRows)
	owners, hidden := v.owners()
	o.Owners, o.OwnersHidden = processes(owners), hidden
	if len(v.sockets) > 0 {
		return o
	}
	namespaces, _ := sockdiag.Elsewhere(v.plan.Select.LocalPort) // a hint for those who wonder
	for _, ns := range namespaces {
		e := Elsewhere{Process: Process{ns.PID, ns.Name}, Counts: sockdiag.Dump{Sockets: ns.Sockets}.Count()}
		e.HoldsThePort = slices.ContainsFunc(ns.Holders, func(p sockdiag.Process) bool { return p.PID == ns.PID })
		o.Elsewhere = append(o.Elsewhere, e)
	}
	return o
}

// unowned is why no process was found that has s open.
func unowned(s *sockdiag.Socket) Unowned {
	switch {
	case s.Inode != 0:
		return Hidden
	case s.State == sockdiag.Established || s.State == sockdiag.CloseWait || s.State == sockdiag.SynRecv:
		return NotAccepted
	default:
		return Closed
	}
}

func names(holders []sockdiag.Process) string {
	var s string
	for _, h := range holders {
		s += h.String() + "\n"
	}
	return s
}

func processes(holders []sockdiag.Process) []Process {
	list := make([]Process, 0, len(holders))
	for _, h := range holders {
		list = append(list, Process{h.PID, h.Name})
	}
	return list
}

// known is s, or Unknown for a state of a kernel to come, so that Counts has room for it.
func known(s sockdiag.State) sockdiag.State {
	if int(s) >= len(sockdiag.Counts{}) {
		return sockdiag.Unknown
	}
	return s
}

func compareRows(a, b Row) int {
	rank := func(r Row) int {
		switch r.State {
		case sockdiag.Listen:
			return 0
		case sockdiag.Close:
			return 1
		}
		return 2
	}
	first := func(r Row) int {
		if len(r.Processes) == 0 {
			return 1 << 30 // behind those that have one
		}
		return r.Processes[0].PID
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Count, a.Count), cmp.Compare(a.State, b.State),
		cmp.Compare(first(a), first(b)), cmp.Compare(a.Unowned, b.Unowned))
}
