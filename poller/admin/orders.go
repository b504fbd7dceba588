package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rstserver/linger"
)

// Progress is a line of the answer to an order.
type Progress struct {
	State       string       `json:"state"`
	Connections linger.Tally `json:"connections"`
	Held        int64        `json:"held"`
	Closed      int          `json:"closed_in_order"`
	// Report is that of the end, in the last line, and Exit the exit code of the process that follows from it.
	Report *linger.Report `json:"report,omitempty"`
	Exit   *int           `json:"exit,omitempty"`
	// Text is the report for people.
	Text string `json:"text,omitempty"`
	// Error, in the last line, says why the order has had no effect.
	Error string `json:"error,omitempty"`
}

// progressInterval is how often an order says how far it is.
const progressInterval = 250 * time.Millisecond

func (a *admin) order(mode linger.Mode) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		srv := a.server(w)
		if srv == nil {
			return
		}
		held := srv.Stats().Held
		who := callerIn(r.Context())
		a.audit(r, string(mode), "connections", held)
		by := "admin"
		if who.UID != nil {
			by = fmt.Sprintf("admin, uid %d, pid %d", *who.UID, who.PID)
		}
		type begun struct {
			done <-chan struct{}
			err  error
		}
		begins := make(chan begun, 1) // Order's end is awaited there whether or not the client is
		go func() {
			done, err := a.Order(mode, by)
			if err != nil {
				a.audit(r, string(mode)+" refused", "reason", err)
			}
			begins <- begun{done, err}
		}()
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		// What has no effect has its status as a rule. What takes longer, as the start of a successor does, shows that it is under way.
		var done <-chan struct{}
		select {
		case b := <-begins:
			if b.err != nil {
				fail(w, http.StatusConflict, "%v", b.err)
				return
			}
			done = b.done
		case <-ticker.C:
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		out := http.NewResponseController(w)
		line := func(p Progress) error {
			putOffDeadline(out)
			return errors.Join(json.NewEncoder(w).Encode(p), out.Flush())
		}
		for {
			st, rep := srv.Stats(), srv.Report()
			tally := st.Others
			for _, l := range st.Loops {
				tally.Add(l)
			}
			if line(Progress{State: st.State(), Connections: tally, Held: st.Held, Closed: rep.Closed}) != nil {
				return // whoever asked has gone; the order goes on
			}
			select {
			case <-ticker.C:
			case b := <-begins:
				if done = b.done; b.err != nil {
					_ = line(Progress{State: st.State(), Connections: tally, Held: st.Held, Closed: rep.Closed, Error: b.err.Error()})
					return
				}
			case <-done:
				rep, exit := a.Result()
				_ = line(Progress{State: string(rep.Mode), Connections: rep.Connections, Closed: rep.Closed, Report: &rep, Exit: &exit, Text: rep.String()})
				return
			case <-r.Context().Done():
				return
			}
		}
	}
}
