//go:build linux

package suites

// all are the suites, and what they expect that poller does not do.
var all = []suite{
	{name: "chi", module: "github.com/go-chi/chi/v5@v5.5.0", packages: []string{"./..."}, quick: true, differences: []difference{
		{"http.ServerContextKey holds the *poller.Server", []string{"v5.TestServerBaseContext"}},
	}},
	{name: "gorilla/websocket", module: "github.com/gorilla/websocket@v1.5.3", packages: []string{"."}},
	{name: "coder/websocket", module: "github.com/coder/websocket@v1.8.15", packages: []string{"."}},
	{name: "gin", module: "github.com/gin-gonic/gin@v1.11.0", packages: []string{"./..."}, leftOut: map[string]string{
		"TestSaveUploadedCreateFailed": "it saves a file to /, for which gin makes the mode of / 0750, if it is root",
	}},
	{name: "echo", module: "github.com/labstack/echo/v4@v4.13.4", packages: []string{"./..."}},
	{name: "connect-go", module: "connectrpc.com/connect@v1.19.1", packages: []string{"./..."}},
	{name: "net/http/httputil", packages: []string{"."}, differences: []difference{
		{"an answer that breaks off ends with RST, and so with another error than io.EOF", []string{"suite.TestReverseProxy_CopyBuffer"}},
		{"the net.Conn of Hijack is not a *net.TCPConn", []string{
			"suite.TestReverseProxyWebSocketHalfTCP/client_close_read", "suite.TestReverseProxyWebSocketHalfTCP/client_close_write",
			"suite.TestReverseProxyWebSocketHalfTCP/server_close_read", "suite.TestReverseProxyWebSocketHalfTCP/server_close_write",
		}},
	}},
}
