package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

// TestHTTP2 has clients speak it where --http2 says.
func TestHTTP2(t *testing.T) {
	for _, tc := range []struct {
		args        []string
		clear, over bool
	}{{nil, true, true}, {[]string{"--http2", "tls"}, false, true}, {[]string{"--http2=none"}, false, false}} {
		for _, secure := range []bool{false, true} {
			args, want, scheme := tc.args, tc.clear, "http://"
			if secure {
				args, want, scheme = append([]string{"--tls-self-signed"}, args...), tc.over, "https://"
			}
			p := start(t, args...)
			protocols := new(http.Protocols)
			protocols.SetHTTP2(true)
			protocols.SetUnencryptedHTTP2(true)
			tr := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			c := &http.Client{Transport: tr, Timeout: lingertest.Patience}
			resp, err := c.Get(scheme + p.addr.String() + "/")
			if (err == nil) != want {
				t.Errorf("%q, TLS %t: %v, want HTTP/2 %t", args, secure, err, want)
			}
			if err == nil {
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.ProtoMajor != 2 || string(b) != hello {
					t.Errorf("%q, TLS %t: %s, %q", args, secure, resp.Proto, b)
				}
				resp, err = c.Post(scheme+p.addr.String()+"/echo", "text/plain", strings.NewReader("over here"))
				lingertest.Must(t, err)
				b, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(b) != "over here" {
					t.Errorf("%q, TLS %t: /echo = %q", args, secure, b)
				}
			}
			p.stop()
			if out := p.stdout.String(); want && !strings.Contains(out, "1 aborted: 1 HTTP/2") {
				t.Errorf("%q, TLS %t: the report is %s", args, secure, out)
			}
			tr.CloseIdleConnections()
		}
	}
}
