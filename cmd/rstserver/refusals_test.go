package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRefusals sends what is refused and goes on sending: the answer has to arrive all the same, and whole.
func TestRefusals(t *testing.T) {
	p := start(t, "--max-header-bytes", "4KiB", "--max-body-bytes", "10000")
	junk := strings.Repeat("x", 64<<10)
	for _, tc := range []struct {
		name, request string
		more          string // what the client goes on sending
		status        int
	}{
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", junk, 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", junk, 400},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", junk, 400},
		{"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", junk, 400},
		{"bare LF", "GET / HTTP/1.1\nHost: a\n\n", junk, 400},
		{"two lengths", head("POST", "/echo", "Content-Length: 1", "Content-Length: 2"), junk, 400},
		{"length and chunked", head("POST", "/echo", "Content-Length: 1", "Transfer-Encoding: chunked"), junk, 400},
		{"bad chunk", head("POST", "/echo", "Transfer-Encoding: chunked") + "zz\r\n", junk, 400},
		{"length too large", head("POST", "/echo", "Content-Length: 10001"), junk, 413},
		{"length too large and expecting", head("POST", "/echo", "Content-Length: 10001", "Expect: 100-continue"), junk, 413},
		{"chunks too large", head("POST", "/echo", "Transfer-Encoding: chunked"), "1000\r\n" + junk[:0x1000] + "\r\n", 413},
		{"endless target", "GET /", junk, 414},
		{"unknown expectation", head("POST", "/echo", "Expect: miracles", "Content-Length: 10000"), junk, 417},
		{"endless field", "GET / HTTP/1.1\r\nHost: a\r\nX: ", junk, 431},
		{"endless fields", "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 431},
		{"unknown transfer coding", head("POST", "/echo", "Transfer-Encoding: gzip, chunked"), junk, 501},
		{"HTTP/2 behind an empty line", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", junk, 505},
		{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", junk, 505},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, p.addr)
			c.send("%s", tc.request)
			const most = 4 << 20 // more than all buffers on the way hold
			answered, sent := make(chan struct{}), make(chan error, 1)
			go func() {
				defer close(sent)
				for n := 0; n < most; n += len(tc.more) {
					select {
					case <-answered:
						return
					default:
					}
					if _, err := io.WriteString(c, tc.more); err != nil {
						sent <- err
						return
					}
				}
			}()
			resp, body := c.response("POST")
			if resp.StatusCode != tc.status || !resp.Close {
				t.Errorf("got %s, close %t; want %d, close", resp.Status, resp.Close, tc.status)
			}
			if !strings.HasPrefix(body, itoa(tc.status)+" ") {
				t.Errorf("content = %q, want one that begins with the status", body)
			}
			c.expectEnd()
			close(answered)
			if err := <-sent; err != nil {
				t.Errorf("while sending: %v", err)
			}
		})
	}
}

// TestRefusalToUploader is a client that looks at the answer only when it has sent everything, as most do.
func TestRefusalToUploader(t *testing.T) {
	p := start(t, "--max-body-bytes", "1000")
	c := dial(t, p.addr)
	// The content stands ready, as the server does not wait for long once it has refused it.
	const n = 20 << 20
	c.send("%s", head("POST", "/echo", "Content-Length: "+itoa(n))+strings.Repeat("x", n))
	if resp, _ := c.response("POST"); resp.StatusCode != 413 {
		t.Errorf("got %s, want 413", resp.Status)
	}
	c.expectEnd()
}

// TestBodyLimit is exact, and 0 lifts it.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	limited, unlimited := start(t, "--max-body-bytes", "1000"), start(t, "--max-body-bytes", "0")
	for _, tc := range []struct {
		name   string
		p      *process
		n      int
		status int
	}{
		{"at the limit", limited, 1000, 200},
		{"beyond it", limited, 1001, 413},
		{"without one", unlimited, 12 << 20, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, tc.p.addr)
			go func() { _, _ = io.WriteString(c, head("POST", "/echo", "Content-Length: "+itoa(tc.n))+counted(tc.n)) }()
			resp, body := c.response("POST")
			if resp.StatusCode != tc.status {
				t.Errorf("got %s, want %d", resp.Status, tc.status)
			}
			if tc.status == 200 {
				checkCounting(t, body, tc.n)
			}
		})
	}
}

func TestHeaderTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second // longer than a client that is not slow takes on any machine
	p := start(t, "--header-timeout", timeout.String())
	for _, tc := range []struct {
		name, sent, drip string
		status           int // 0: none
	}{
		{name: "nothing comes"},
		{name: "half a head", sent: "GET / HTTP/1.1\r\nHo", status: 408},
		{name: "one byte at a time", sent: "GET / HTTP/1.1\r\n", drip: "X: y\r\n", status: 408},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			c := dial(t, p.addr)
			c.send("%s", tc.sent)
			over, dripped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(dripped)
				for i := 0; tc.drip != ""; i++ {
					select {
					case <-over:
						return
					case <-time.After(20 * time.Millisecond):
						_, _ = c.Write([]byte{tc.drip[i%len(tc.drip)]})
					}
				}
			}()
			if tc.status != 0 {
				if resp, _ := c.response("GET"); resp.StatusCode != tc.status || !resp.Close {
					t.Errorf("got %s, close %t; want %d, close", resp.Status, resp.Close, tc.status)
				}
			}
			c.expectEnd()
			if took := time.Since(began); took < timeout {
				t.Errorf("it ended after %s already", took)
			}
			close(over)
			<-dripped
		})
	}
	t.Run("a second request", func(t *testing.T) {
		t.Parallel()
		c := dial(t, p.addr)
		c.expectHello()
		c.send("GET")
		if resp, _ := c.response("GET"); resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("got %s, want 408", resp.Status)
		}
		c.expectEnd()
	})
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second // much longer than the pauses of a connection that is busy
	p := start(t, "--idle-timeout", timeout.String(), "--header-timeout", "0s")
	idle, busy := dial(t, p.addr), dial(t, p.addr)
	idle.expectHello()
	began := time.Now()
	over := make(chan struct{})
	go func() {
		defer close(over)
		idle.expectEnd()
	}()
	for {
		busy.expectHello()
		select {
		case <-over:
			if took := time.Since(began); took < timeout-200*time.Millisecond { // its end is as fine as the server's ticks
				t.Errorf("the idle connection ended after %s already", took)
			}
			busy.expectHello()
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
