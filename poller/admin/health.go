package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"rstserver/poller"
)

// loopPatience is how long event loops have to respond before /livez says that they do not.
const loopPatience = 2 * time.Second

// Health returns a handler of GET /livez, which is 200 as long as every event loop responds, and GET /readyz, which is 200 while the server
// accepts connections, or would if there were none too many, and 503 before that, and from the first moment of a drain, a handover, a
// release or an abort on, its Delay included. The content says why. server returns the Server of the moment, nil if there is none.
func Health(server func() *poller.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
		defer cancel()
		if srv := server(); srv != nil {
			if err := srv.Ping(ctx); err != nil {
				say(w, http.StatusServiceUnavailable, err.Error())
				return
			}
		}
		say(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		state := "starting"
		if srv := server(); srv != nil {
			st := srv.Stats()
			state = st.State()
		}
		if state != "serving" {
			say(w, http.StatusServiceUnavailable, "not ready: "+state)
			return
		}
		say(w, http.StatusOK, "ok")
	})
	return mux
}

// say answers with a line of text, which nobody may keep.
func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, fmt.Sprintln(text))
}
