// Package hello is the handler that servers of http.Handler are compared with.
package hello

import (
	"io"
	"net/http"
)

// Handler answers every request as rstserver's GET / does.
var Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Hello, World!")
})
