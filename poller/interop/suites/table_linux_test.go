//go:build linux

package suites

// all are the suites, and what they expect that poller does not do.
var all = []suite{
	{name: "chi", module: "github.com/go-chi/chi/v5@v5.2.3", packages: []string{"./..."}, quick: true},
	{name: "gorilla/websocket", module: "github.com/gorilla/websocket@v1.5.3", packages: []string{"."}, quick: true},
	{name: "coder/websocket", module: "github.com/coder/websocket@v1.8.15", packages: []string{"."}},
	{name: "gin", module: "github.com/gin-gonic/gin@v1.11.0", packages: []string{"./..."}},
	{name: "echo", module: "github.com/labstack/echo/v4@v4.13.4", packages: []string{"./..."}},
	{name: "connect-go", module: "connectrpc.com/connect@v1.19.1", packages: []string{"./..."}},
	{name: "net/http/httputil", packages: []string{"."}},
}
