//go:build linux

package freeport

import (
	"errors"
	"slices"
	"strings"
	"time"

	"rstserver/linger/sockdiag"
)

// maxRounds bounds how often Run looks for more to destroy. The first round gets what was there; a second finds nothing where
// nobody listens. Where somebody does, clients come back as fast as they are reset. The number is a guess.
const maxRounds = 5

// Result is what Run has done.
type Result struct {
	// Stopped are the processes that were sent the signal, and what became of them.
	Stopped []Stopped `json:"stopped"`
	// Destroyed is the number of sockets that the kernel has ended, Gone of those that had ended by themselves by then.
	Destroyed int `json:"destroyed"`
	Gone      int `json:"gone_by_themselves"`
	// Refused are the sockets that were not destroyed.
	Refused []Refused `json:"refused"`
	// Survived is the number of sockets that the kernel says it has destroyed, and lists all the same: orphans, before Linux
	// 6.11.
	Survived int `json:"survived"`
	// Rounds is how often Run looked for sockets to destroy. Coming: it gave up in the end, as more came each time.
	Rounds int  `json:"rounds"`
	Coming bool `json:"more_keep_coming"`
	// Successor: while owners were stopped, somebody else began to listen. What came to the port since is left alone.
	Successor bool `json:"successor"`
}

// Refused is a number of sockets that were refused for one reason.
type Refused struct {
	// Reason is Err in words, and Counts the sockets by state.
	Reason string          `json:"reason"`
	Counts sockdiag.Counts `json:"sockets"`
	// Err is the reason for errors.Is: one of those of sockdiag.
	Err error `json:"-"`
}

// Run carries the plan out, whatever Look has shown before: it stops the owners if it is to, destroys what is selected in a few
// rounds, and finds out whether the port is free. Refusals and a port that is not free are no errors. The error says that
// the kernel cannot be asked; the Result is what was done by then.
func (p *Plan) Run() (Result, Verdict, error) {
	r := Result{Stopped: []Stopped{}, Refused: []Refused{}}
	first, err := p.look()
	if err != nil {
		return r, Verdict{}, err
	}
	d := destroying{result: &r, look: p.lookAgain, done: make(map[uint64]bool)}
	v := first
	if p.StopOwner {
		if r.Stopped, v, err = p.stopOwners(first); err != nil {
			return r, Verdict{}, err
		}
		if r.Successor = v.hasSuccessorOf(first); r.Successor {
			d.only = make(map[uint64]bool)
			for _, s := range first.sockets {
				d.only[s.Cookie] = true
			}
		}
	}
	if err := d.rounds(v); err != nil {
		return r, Verdict{}, err
	}
	verdict, err := p.judge(first)
	if err != nil || r.Successor {
		return r, verdict, err
	}
	// Who has bound the port, and does not listen yet, is nowhere to be seen. Who holds it now may have come since the owners let go.
	patience := respawnPatience
	if len(verdict.Holders) > 0 {
		patience = 0
	}
	if p.respawns(first, r.Stopped, patience) {
		r.Successor = true
		verdict, err = p.judge(first)
	}
	return r, verdict, err
}

// respawnPatience is how long somebody is waited for who starts a stopped process again: a port that is free for as long as that takes
// would be no answer. systemd waits for 100 ms before it does. The number is a guess.
var respawnPatience = 500 * time.Millisecond

// respawns reports whether somebody listens again, now or within patience, after processes were stopped that were started by others
// than the system.
func (p *Plan) respawns(before *view, stopped []Stopped, patience time.Duration) bool {
	if !slices.ContainsFunc(stopped, func(s Stopped) bool { return s.Signalled && s.LetGo && (s.Parent.PID > 1 || s.Unit != "") }) {
		return false
	}
	for until := time.Now().Add(patience); ; time.Sleep(2 * interval) {
		if v, err := p.look(); err != nil || v.hasSuccessorOf(before) {
			return err == nil
		}
		if !time.Now().Before(until) {
			return false
		}
	}
}

// hasSuccessorOf reports whether a socket holds the port that did not when before was seen.
func (v *view) hasSuccessorOf(before *view) bool {
	old := before.holding()
	return slices.ContainsFunc(v.holding(), func(s sockdiag.Socket) bool {
		return !slices.ContainsFunc(old, func(o sockdiag.Socket) bool { return o.Inode == s.Inode })
	})
}

// destroying is the part of Run that destroys.
type destroying struct {
	result *Result
	look   func() (*view, error)
	only   map[uint64]bool // if not nil, the cookies that may be destroyed
	done   map[uint64]bool // the cookies that the kernel was asked for: false where it refused
}

// rounds destroys what is selected of v and of what comes after it.
func (d *destroying) rounds(v *view) error {
	for {
		todo := d.todo(v)
		if len(todo) == 0 {
			return nil
		}
		if d.result.Rounds == maxRounds {
			d.result.Coming = true
			return nil
		}
		d.result.Rounds++
		if err := d.destroy(todo); err != nil {
			return err
		}
		var err error
		if v, err = d.look(); err != nil {
			return err
		}
	}
}

// lookAgain is look with the processes only where the selection needs them.
func (p *Plan) lookAgain() (*view, error) {
	if len(p.Select.Processes) > 0 {
		return p.look()
	}
	return p.glance()
}

// todo returns those selected that the kernel was not asked for yet, and counts the survivors.
func (d *destroying) todo(v *view) []sockdiag.Socket {
	d.result.Survived = 0
	seen := make(map[uint64]bool) // a socket that changes its state during the dump can be in it twice
	return slices.DeleteFunc(v.selected(), func(s sockdiag.Socket) bool {
		destroyed, asked := d.done[s.Cookie]
		if destroyed && s.Cookie != 0 {
			d.result.Survived++
		}
		again := seen[s.Cookie] && s.Cookie != 0
		seen[s.Cookie] = true
		return asked || again || d.only != nil && !d.only[s.Cookie]
	})
}

func (d *destroying) destroy(sockets []sockdiag.Socket) error {
	outcome, err := sockdiag.Destroy(sockets)
	for _, s := range sockets {
		d.done[s.Cookie] = true
	}
	d.result.Destroyed += outcome.Destroyed
	d.result.Gone += outcome.Gone
	for _, refusal := range outcome.Refused {
		d.done[refusal.Socket.Cookie] = false
		d.refuse(refusal)
	}
	return err
}

func (d *destroying) refuse(refusal sockdiag.Refusal) {
	same := func(r Refused) bool { return errors.Is(r.Err, refusal.Err) || r.Err.Error() == refusal.Err.Error() }
	i := slices.IndexFunc(d.result.Refused, same)
	if i < 0 {
		i = len(d.result.Refused)
		d.result.Refused = append(d.result.Refused, Refused{Reason: reason(refusal.Err), Err: refusal.Err})
	}
	d.result.Refused[i].Counts[known(refusal.Socket.State)]++
}

// reason is an error as a sentence of its own.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "sockdiag: ") }
