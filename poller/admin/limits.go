package admin

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"rstserver/poller"
)

// Limits are what can be changed while a server runs.
type Limits struct {
	MaxConns    int    `json:"max_conns"`    // 0: what the limit of open files allows
	MaxBuffered int64  `json:"max_buffered"` // bytes; 0: none
	LogLevel    string `json:"log_level,omitempty"`
}

func (a *admin) limits(srv *poller.Server) Limits {
	st := srv.Stats()
	l := Limits{MaxConns: st.MaxConns, MaxBuffered: st.Memory.Bound}
	if a.Level != nil {
		l.LogLevel = a.Level.Level().String()
	}
	return l
}

func (a *admin) showLimits(w http.ResponseWriter, r *http.Request) {
	if srv := a.server(w); srv != nil {
		reply(w, http.StatusOK, a.limits(srv))
	}
}

// setLimits changes those that the query has. Where one cannot be read none is changed.
func (a *admin) setLimits(w http.ResponseWriter, r *http.Request) {
	const action = "change of limits"
	q := a.form(w, r, action)
	if q == nil {
		return
	}
	srv := a.server(w)
	if srv == nil {
		return
	}
	now := a.limits(srv)
	refuse := func(format string, args ...any) {
		a.refuse(w, r, action, http.StatusBadRequest, fmt.Errorf(format, args...))
	}
	var changes []func() error
	var attrs []any
	// max_conns comes first: it alone can fail when it is tried, and nothing has been changed then.
	keys := slices.Sorted(maps.Keys(q))
	slices.SortStableFunc(keys, func(a, b string) int {
		return cmp.Compare(strings.TrimPrefix(a, "max_conns"), strings.TrimPrefix(b, "max_conns"))
	})
	for _, key := range keys {
		value := q.Get(key)
		switch key {
		case "max_conns":
			n, err := strconv.Atoi(value)
			if err != nil {
				refuse("max_conns=%s: it must be a number; 0 means what the limit of open files allows", value)
				return
			}
			changes = append(changes, func() error { return srv.SetMaxConns(n) })
			attrs = append(attrs, "max_conns", n, "max_conns_before", now.MaxConns)
		case "max_buffered":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				refuse("max_buffered=%s: it must be a number of bytes; 0 means no bound", value)
				return
			}
			if n > 0 && n < poller.LeastMaxBufferedBytes {
				refuse("max_buffered=%s: it must be at least %d (1 MiB); 0 means no bound", value, poller.LeastMaxBufferedBytes)
				return
			}
			if n == 0 {
				n = -1
			}
			changes = append(changes, func() error { return srv.SetMaxBufferedBytes(n) })
			attrs = append(attrs, "max_buffered", max(n, 0), "max_buffered_before", now.MaxBuffered)
		case "log_level":
			var level slog.Level
			if err := level.UnmarshalText([]byte(value)); err != nil || a.Level == nil {
				refuse("log_level=%s: it must be debug, info, warn or error", value)
				return
			}
			changes = append(changes, func() error { a.Level.Set(level); return nil })
			attrs = append(attrs, "log_level", level.String(), "log_level_before", now.LogLevel)
		default:
			refuse("%s: there are max_conns, max_buffered and log_level", key)
			return
		}
	}
	for _, change := range changes {
		if err := change(); err != nil {
			refuse("%w", err)
			return
		}
	}
	if len(changes) > 0 {
		a.audit(r, "limits changed", attrs...)
	}
	reply(w, http.StatusOK, a.limits(srv))
}
