//go:build linux

package interop

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chain is a proxy in front of an upstream server.
type chain struct {
	name           string
	front, backend func(t testing.TB, h http.Handler) (url string)
}

func onPoller(t testing.TB, h http.Handler) string  { return serve(t, h).url }
func onNetHTTP(t testing.TB, h http.Handler) string { return serveNetHTTP(t, h).url }

var chains = []chain{
	{"poller before net/http", onPoller, onNetHTTP},
	{"poller before poller", onPoller, onPoller},
	{"net/http before poller", onNetHTTP, onPoller},
}

// start serves upstream through the chain.
func (c chain) start(t testing.TB, upstream http.HandlerFunc) string {
	return c.front(t, proxyTo(t, c.backend(t, upstream)))
}

// proxyTo returns a ReverseProxy with connections of its own.
func proxyTo(t testing.TB, target string) *httputil.ReverseProxy {
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() },
		Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
	}
}

func TestReverseProxy(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.name, func(t *testing.T) {
			url := chain.start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Method", r.Method)
				w.Header().Set("X-For", r.Header.Get("X-Forwarded-For"))
				if r.URL.Path == "/none" {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				// All of it first, as net/http's proxy takes no content behind the beginning of the answer.
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(b)
			})
			c := newClient(t)
			for _, content := range []string{"", "hello", string(big)} {
				res, got := do(t, c, newRequest(t, "POST", url, strings.NewReader(content)))
				if got != content || res.Header.Get("X-Method") != "POST" || res.Header.Get("X-For") != "127.0.0.1" {
					t.Errorf("%d bytes came back as %d, with %v", len(content), len(got), res.Header)
				}
			}
			if res, _ := do(t, c, newRequest(t, "GET", url+"/none", nil)); res.StatusCode != 204 {
				t.Errorf("204 came as %s", res.Status)
			}
			if res, _ := do(t, c, newRequest(t, "HEAD", url, nil)); res.StatusCode != 200 || res.Header.Get("X-Method") != "HEAD" {
				t.Errorf("the answer to HEAD is %s, %v", res.Status, res.Header)
			}
		})
	}
}

// Each piece comes back before the next one is sent, and trailers come behind them. A proxy on net/http cannot do that: there an
// answer does not begin before the content of the request has ended.
func TestReverseProxyStreams(t *testing.T) {
	for _, chain := range chains[:2] {
		t.Run(chain.name, func(t *testing.T) {
			url := chain.start(t, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				_ = rc.EnableFullDuplex()
				w.Header().Set("Trailer", "X-Lines")
				n := 0
				lines := bufio.NewScanner(r.Body)
				for ; lines.Scan(); n++ {
					_, _ = io.WriteString(w, lines.Text()+"\n")
					_ = rc.Flush()
				}
				w.Header().Set("X-Lines", strconv.Itoa(n))
				w.Header().Set(http.TrailerPrefix+"X-Late", "1")
			})
			body, in := io.Pipe()
			req := newRequest(t, "POST", url, body)
			go func() { _, _ = io.WriteString(in, "first\n") }()
			res, err := newClient(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			out := bufio.NewReader(res.Body)
			for _, line := range []string{"first\n", "second\n", "third\n"} {
				if line != "first\n" {
					_, _ = io.WriteString(in, line)
				}
				if got, err := out.ReadString('\n'); got != line {
					t.Fatalf("got %q, %v, want %q", got, err, line)
				}
			}
			in.Close()
			if rest, err := io.ReadAll(out); len(rest) > 0 || err != nil {
				t.Errorf("at the end came %q, %v", rest, err)
			}
			if res.Trailer.Get("X-Lines") != "3" || res.Trailer.Get("X-Late") != "1" {
				t.Errorf("the trailers are %v", res.Trailer)
			}
		})
	}
}

func TestReverseProxyEarlyHints(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.name, func(t *testing.T) {
			url := chain.start(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusOK)
			})
			var hints []string
			req := newRequest(t, "GET", url, nil)
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					hints = append(hints, header.Get("Link"))
					return nil
				},
			}))
			if res, _ := do(t, newClient(t), req); res.StatusCode != 200 || len(hints) != 1 || hints[0] != "</style.css>; rel=preload" {
				t.Errorf("%s after %q", res.Status, hints)
			}
		})
	}
}

func TestReverseProxyWebSocket(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.name, func(t *testing.T) {
			for _, echo := range echoes {
				url := chain.start(t, echo.handler)
				for _, library := range []string{"coder", "gorilla"} {
					c := dialSocket(t, library, url)
					for _, n := range []int{0, 5, 1 << 20} {
						message := strings.Repeat("m", n)
						if got, err := c.roundTrip([]byte(message)); err != nil || string(got) != message {
							t.Fatalf("a message of %d bytes came back with %d, %v", n, len(got), err)
						}
					}
					if err := c.close(); err != nil {
						t.Errorf("the Close handshake: %v", err)
					}
				}
			}
		})
	}
}

// A client must not take the answer of an upstream that dies for whole. The proxy panics with ErrAbortHandler.
func TestReverseProxyUpstreamDies(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	upstreams := map[string]struct{ first, last string }{
		"in a chunk":            {chunked, "a\r\nagain"},
		"between chunks":        {chunked, ""},
		"in a content":          {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", ""},
		"in one without length": {"HTTP/1.1 200 OK\r\n\r\nhello", "again"},
	}
	for name, upstream := range upstreams {
		for _, version := range []string{"1.0", "1.1"} {
			t.Run(name+", HTTP/"+version, func(t *testing.T) {
				arrived := make(chan struct{})
				backend := serveNetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(conn, upstream.first)
					<-arrived
					_, _ = io.WriteString(conn, upstream.last)
					if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
						_ = tcp.SetLinger(0)
					}
					conn.Close()
				}))
				s := serve(t, proxyTo(t, backend.url))
				c := s.dial(t)
				c.send("GET / HTTP/" + version + "\r\nHost: x\r\n\r\n")
				c.readTo("hello")
				close(arrived)
				c.wantReset()
			})
		}
	}
}

func TestReverseProxyWithoutUpstream(t *testing.T) {
	ln := listenAlone(t)
	target := "http://" + ln.Addr().String()
	ln.Close()
	if res, _ := do(t, newClient(t), newRequest(t, "GET", onPoller(t, proxyTo(t, target)), nil)); res.StatusCode != 502 {
		t.Errorf("%s, want 502", res.Status)
	}
}

// writeOn writes until the client is gone, and then closes ended. A client that is gone has closed its connection in order,
// which poller does not take for an end before it writes.
func writeOn(w http.ResponseWriter, r *http.Request, ended chan<- struct{}) {
	defer close(ended)
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, "hello"); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// When the client has reset its connection, the upstream hears of it.
func TestReverseProxyClientDies(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.name, func(t *testing.T) {
			ended := make(chan struct{})
			url := chain.start(t, func(w http.ResponseWriter, r *http.Request) { writeOn(w, r, ended) })
			c := dial(t, addrOf(t, url))
			c.send(get1)
			c.readTo("hello")
			_ = c.SetLinger(0)
			c.Close()
			wait(t, ended, "the upstream hears of it")
		})
	}
}

// A teardown of the proxy in the middle of an answer is a reset to the client and the end for the upstream.
func TestReverseProxyClosed(t *testing.T) {
	ended := make(chan struct{})
	backend := serveFunc(t, func(w http.ResponseWriter, r *http.Request) { writeOn(w, r, ended) })
	front := serve(t, proxyTo(t, backend.url))
	res, err := newClient(t).Do(newRequest(t, "GET", front.url, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := front.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	front.assertGone(t)
	if b, err := io.ReadAll(res.Body); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the answer ended with %.100q, %v, want ECONNRESET", b, err)
	}
	wait(t, ended, "the upstream hears of it")
}
