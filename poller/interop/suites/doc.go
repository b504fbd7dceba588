// Package suites runs the tests of other projects on poller: of frameworks, of WebSocket libraries, and of net/http/httputil.
// They start their servers by net/http/httptest, below which poller takes the place of net/http's server.
//
//	go test -v                     all suites, and a table of them
//	go test -run Suites/chi -v     one of them
//
// Each module is fetched as a dependency is (go mod download), copied to a temporary directory, and tested there with an
// overlay of httptest (go help build, -overlay), so that nothing of what runs is changed but the server. Servers with TLS or
// HTTP/2, and those on listeners that a test wraps, remain net/http's. A test that does not pass is run once more on net/http: if it fails
// there too, that is said and nothing more. Otherwise it has to stand in the table of differences, which says why.
package suites
