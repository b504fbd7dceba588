package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"rstserver/poller"
	"rstserver/poller/admin"
)

// Health for a load balancer and a supervisor, on a listener of its own. The server here does not accept yet.
func ExampleHealth() {
	srv := &poller.Server{} // and somewhere srv.ListenAndServe()
	mux := http.NewServeMux()
	health := admin.Health(func() *poller.Server { return srv })
	mux.Handle("GET /livez", health)
	mux.Handle("GET /readyz", health)

	for _, path := range []string{"/livez", "/readyz"} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, answer.Code, strings.TrimSpace(answer.Body.String()))
	}
	// Output:
	// /livez 200 ok
	// /readyz 503 not ready: starting
}

// Connections are listed and ended over HTTP by whoever knows the token; a unix socket of ListenUnix needs none.
func ExampleGuard() {
	srv := &poller.Server{}
	control := admin.New(admin.Options{Server: func() *poller.Server { return srv }})
	guarded := admin.Guard("a long and secret token", control)

	for _, token := range []string{"guessed", "a long and secret token"} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/connections", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		guarded.ServeHTTP(answer, r)
		fmt.Println(answer.Code)
	}
	// Output:
	// 401
	// 200
}
