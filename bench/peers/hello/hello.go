// Package hello is the handler that servers of http.Handler are compared with.
package hello

import (
	"io"
	"net/http"
	"strings"
)

// Handler answers every request as rstserver's GET / does.
var Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Hello, World!")
})

// Files is what paths of files begin with.
const Files = "/files/"

// With is Handler for arguments behind the address: with a folder among them, its files are below Files.
func With(args []string) http.Handler {
	if len(args) == 0 {
		return Handler
	}
	files := http.StripPrefix(Files, http.FileServer(http.Dir(args[0])))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, Files) {
			files.ServeHTTP(w, r)
			return
		}
		Handler(w, r)
	})
}
