package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"rstserver/linger"
	"rstserver/poller"
)

// Connections is what GET /connections and the actions on them answer with.
type Connections struct {
	// Total is how many were picked, of which there may be fewer in Connections (limit).
	Total       int               `json:"total"`
	Connections []poller.ConnInfo `json:"connections"`
	// Server names the Server whose connections they are. An action with server=NAME has no effect on those of another one, as a successor's,
	// which can have the same numbers.
	Server string `json:"server"`
	// Problem says that some event loops did not respond, so that their connections are missing.
	Problem string `json:"problem,omitempty"`
}

// Peer is how many connections a client has.
type Peer struct {
	Peer        string       `json:"peer"` // its address
	Connections int          `json:"connections"`
	Activities  linger.Tally `json:"activities"`   // of these
	Requests    int64        `json:"requests"`     // that came on them
	Queued      int64        `json:"queued_bytes"` // that wait in the kernel, in either direction
}

// listPatience is how long event loops have to respond with their connections.
const listPatience = 5 * time.Second

func (a *admin) connections(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	sel, err := poller.ParseSelector(q)
	if err == nil {
		err = known(q, "limit", "top")
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	limit := 0
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			fail(w, http.StatusBadRequest, "limit=%s: it must be a number from 1 on", text)
			return
		}
	}
	top := q.Get("top")
	if top != "" && top != "peer" {
		fail(w, http.StatusBadRequest, "top=%s: it can be peer", top)
		return
	}
	srv := a.server(w)
	if srv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), listPatience)
	defer cancel()
	all, err := srv.Conns(ctx, &sel)
	if top != "" {
		peers := topPeers(all)
		total := len(peers)
		if limit > 0 {
			peers = peers[:min(limit, total)]
		}
		reply(w, http.StatusOK, struct {
			Total   int    `json:"total"`
			Peers   []Peer `json:"peers"`
			Problem string `json:"problem,omitempty"`
		}{total, peers, problem(err)})
		return
	}
	reply(w, http.StatusOK, a.listOf(srv, all, limit, err))
}

// listOf is the answer with no more than limit connections; 0: all.
func (a *admin) listOf(srv *poller.Server, all []poller.ConnInfo, limit int, err error) Connections {
	c := Connections{Total: len(all), Connections: all, Server: a.serverOf(srv), Problem: problem(err)}
	if limit > 0 && len(all) > limit {
		c.Connections = all[:limit]
	}
	if c.Connections == nil {
		c.Connections = []poller.ConnInfo{}
	}
	return c
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// topPeers counts connections by client address, the most first.
func topPeers(all []poller.ConnInfo) []Peer {
	by := make(map[netip.Addr]*Peer)
	for i := range all {
		c := &all[i]
		addr := c.Conn.Remote.Addr().Unmap()
		p := by[addr]
		if p == nil {
			p = &Peer{Peer: addr.String()}
			by[addr] = p
		}
		p.Connections++
		p.Activities[c.Activity]++
		p.Requests += c.Requests
		p.Queued += int64(c.RecvQueue + c.SendQueue)
	}
	peers := make([]Peer, 0, len(by))
	for _, p := range by {
		peers = append(peers, *p)
	}
	slices.SortFunc(peers, func(a, b Peer) int {
		if a.Connections != b.Connections {
			return b.Connections - a.Connections
		}
		if a.Peer < b.Peer {
			return -1
		}
		return 1
	})
	return peers
}

// end serves an action on the connections that the query picks.
func (a *admin) end(what string, act func(*poller.Server, context.Context, *poller.Selector) ([]poller.ConnInfo, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		action := what + " of connections"
		q := a.form(w, r, action)
		if q == nil {
			return
		}
		sel, err := poller.ParseSelector(q)
		if err == nil {
			err = known(q, "all", "server")
		}
		if err == nil && sel.IsZero() && q.Get("all") != "true" {
			err = fmt.Errorf("without a condition this would %s every connection: add one, such as peer=10.0.0.5, or all=true", what)
		}
		if err != nil {
			a.refuse(w, r, action, http.StatusBadRequest, err)
			return
		}
		srv := a.server(w)
		if srv == nil {
			return
		}
		if name := q.Get("server"); name != "" && name != a.serverOf(srv) {
			a.refuse(w, r, action, http.StatusConflict, errors.New("another server has come meanwhile, as by a handover, so nothing was touched: list its connections"))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), listPatience)
		defer cancel()
		all, err := act(srv, ctx, &sel)
		a.audit(r, action, "selected_by", conditions(q), "connections", len(all))
		const shown = 100
		reply(w, http.StatusOK, a.listOf(srv, all, shown, err))
	}
}

// conditions are those of a query as the log has them, which has no room for the numbers of a thousand connections.
func conditions(q url.Values) string {
	const most = 200 // bytes
	var all []string
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if key == "server" {
			continue
		}
		text := key + "=" + strings.Join(q[key], ",")
		if len(text) > most {
			text = fmt.Sprintf("%s... (%d bytes)", text[:most], len(text))
		}
		all = append(all, text)
	}
	return strings.Join(all, "&")
}

// known is an error if the query has a name that is neither a condition nor one of the others: connections would be picked that were not meant.
func known(q url.Values, others ...string) error {
	conditions := poller.SelectorKeys()
	for key := range q {
		if !slices.Contains(conditions, key) && !slices.Contains(others, key) {
			return fmt.Errorf("%s: no condition is called that; there are %s", key, strings.Join(conditions, ", "))
		}
	}
	return nil
}
