package admin

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"rstserver/linger"
	"rstserver/poller"
	"rstserver/poller/sse"
)

// Options are those of New.
type Options struct {
	// Server returns the Server of the moment, nil if there is none. It must be set.
	Server func() *poller.Server
	// Logger takes a line for each action: what, by whom, and how many connections it was, or why it was refused. Nil means slog.Default(). It should not leave out
	// LevelInfo.
	Logger *slog.Logger
	// Level is the level of the log that POST /limits changes. Nil: it does not.
	Level *slog.LevelVar
	// Order tells the server to let go of its port, in the way of mode: drain, release, abort, or handover. It returns what is closed when
	// that is over, or an error if it cannot be, or has no effect. Nil: none of that is served.
	Order func(mode linger.Mode, who string) (done <-chan struct{}, err error)
	// Result says how an order has ended, once its done is closed: the report, and the exit code that follows from it.
	Result func() (linger.Report, int)
	// Over is closed when the program comes to its end: event streams end then. Nil: they end with their clients.
	Over <-chan struct{}
	// Generation counts the processes that have handed over to each other, from 1.
	Generation int
}

// New returns a handler of what the documentation of the package lists. Any number of goroutines may use it.
func New(o Options) http.Handler {
	a := &admin{o, rand.Text()}
	if a.Logger == nil {
		a.Logger = slog.Default()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("GET /events", a.events)
	mux.HandleFunc("GET /connections", a.connections)
	mux.HandleFunc("POST /connections/abort", a.end("abort", (*poller.Server).AbortConns))
	mux.HandleFunc("POST /connections/close", a.end("close", (*poller.Server).CloseConns))
	mux.HandleFunc("GET /limits", a.showLimits)
	mux.HandleFunc("POST /limits", a.setLimits)
	if o.Order != nil {
		for _, mode := range []linger.Mode{linger.ModeDrain, linger.ModeRelease, linger.ModeAbort, linger.ModeHandover} {
			mux.HandleFunc("POST /"+string(mode), a.order(mode))
		}
	}
	return mux
}

type admin struct {
	Options
	process string // tells this process from others
}

// serverOf names a Server, as no other one is named, of this process or another.
func (a *admin) serverOf(srv *poller.Server) string { return fmt.Sprintf("%s-%p", a.process, srv) }

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, format string, args ...any) {
	reply(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}

// audit logs an action.
func (a *admin) audit(r *http.Request, what string, attrs ...any) {
	a.Logger.With("audit", true).Info(what, append(callerIn(r.Context()).attrs(), attrs...)...)
}

// refuse answers an action that is not taken with why, and logs that.
func (a *admin) refuse(w http.ResponseWriter, r *http.Request, what string, status int, why error) {
	a.audit(r, what+" refused", "reason", why)
	fail(w, status, "%v", why)
}

// maxForm bounds the content of an action: the numbers of a million connections.
const maxForm = 16 << 20

// form is what the query and the content of an action say. If they cannot be read it answers, and returns nil.
func (a *admin) form(w http.ResponseWriter, r *http.Request, what string) url.Values {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		a.refuse(w, r, what, http.StatusBadRequest, err)
		return nil
	}
	return r.Form
}

// server is the one of the moment. Without one it answers, and returns nil.
func (a *admin) server(w http.ResponseWriter) *poller.Server {
	srv := a.Server()
	if srv == nil {
		fail(w, http.StatusServiceUnavailable, "no server serves yet")
	}
	return srv
}

func (a *admin) status(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, snapshotOf(a.Server(), a.Generation))
}

// eventInterval is how often the page is told.
const eventInterval = time.Second

// writePatience is how long a client has to take a part of an answer that goes on.
const writePatience = 30 * time.Second

// putOffDeadline keeps the next write from failing by the WriteTimeout of the http.Server, which counts from the request on.
func putOffDeadline(out *http.ResponseController) {
	_ = out.SetWriteDeadline(time.Now().Add(writePatience))
}

// events sends Snapshots as an event stream (text/event-stream) until its client goes, or the server that answers it.
func (a *admin) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(eventInterval)
	defer ticker.Stop()
	for {
		data, err := json.Marshal(snapshotOf(a.Server(), a.Generation))
		if err != nil {
			return
		}
		event, err := sse.Event{Data: string(data)}.AppendText(nil)
		if err != nil {
			return
		}
		putOffDeadline(out)
		if _, err = w.Write(event); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-a.Over:
			return
		case <-r.Context().Done():
			return
		}
	}
}
