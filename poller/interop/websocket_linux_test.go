//go:build linux

package interop

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"rstserver/internal/lingertest"
)

// coderEcho sends back what it gets until the connection ends.
func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, data, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if err := c.Write(context.Background(), kind, data); err != nil {
			return
		}
	}
}

// gorillaEcho is coderEcho with the other library.
func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	c, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, data, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, data); err != nil {
			return
		}
	}
}

var echoes = []struct {
	name    string
	handler http.HandlerFunc
}{{"coder", coderEcho}, {"gorilla", gorillaEcho}}

// socket is what the tests need of a WebSocket client, of either library.
type socket interface {
	roundTrip(message []byte) ([]byte, error)
	// close does the Close handshake.
	close() error
	// read returns the error with which the connection ends.
	read() error
}

type coderSocket struct{ *coder.Conn }

func (s coderSocket) roundTrip(message []byte) ([]byte, error) {
	if err := s.Write(context.Background(), coder.MessageBinary, message); err != nil {
		return nil, err
	}
	_, data, err := s.Read(context.Background())
	return data, err
}

func (s coderSocket) close() error { return s.Close(coder.StatusNormalClosure, "done") }

func (s coderSocket) read() error {
	_, _, err := s.Read(context.Background())
	return err
}

type gorillaSocket struct{ *gorilla.Conn }

func (s gorillaSocket) roundTrip(message []byte) ([]byte, error) {
	if err := s.WriteMessage(gorilla.BinaryMessage, message); err != nil {
		return nil, err
	}
	_, data, err := s.ReadMessage()
	return data, err
}

func (s gorillaSocket) close() error {
	err := s.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "done"))
	if err != nil {
		return err
	}
	if err := s.read(); !gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
		return err
	}
	return s.Close()
}

func (s gorillaSocket) read() error {
	_, _, err := s.ReadMessage()
	return err
}

// dialSocket opens a WebSocket at url, which begins with "http".
func dialSocket(t testing.TB, library, url string) socket {
	t.Helper()
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			// RST at the end, so that clients leave no TIME_WAIT.
			t.Cleanup(func() { _ = conn.(*net.TCPConn).SetLinger(0); _ = conn.Close() })
		}
		return conn, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lingertest.Patience)
	defer cancel()
	if library == "coder" {
		transport := &http.Transport{DialContext: dialer}
		c, _, err := coder.Dial(ctx, url, &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatalf("dialling %s: %v", url, err)
		}
		t.Cleanup(func() { _ = c.CloseNow() })
		c.SetReadLimit(-1)
		return coderSocket{c}
	}
	c, _, err := (&gorilla.Dialer{NetDialContext: dialer}).DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), nil)
	if err != nil {
		t.Fatalf("dialling %s: %v", url, err)
	}
	return gorillaSocket{c}
}

func TestWebSocketEcho(t *testing.T) {
	for _, echo := range echoes {
		for _, library := range []string{"coder", "gorilla"} {
			t.Run(echo.name+" server, "+library+" client", func(t *testing.T) {
				s := serve(t, echo.handler)
				c := dialSocket(t, library, s.url)
				for _, n := range []int{0, 1, 125, 126, 65535, 65536, 2 << 20} {
					message := strings.Repeat("m", n)
					got, err := c.roundTrip([]byte(message))
					if err != nil || string(got) != message {
						t.Fatalf("a message of %d bytes came back with %d, %v", n, len(got), err)
					}
				}
				if err := c.close(); err != nil {
					t.Errorf("the Close handshake: %v", err)
				}
				lingertest.Wait(t, "the connection is counted off", func() bool { return s.Report().Connections.Total() == 0 })
			})
		}
	}
}

func TestWebSocketsAtATime(t *testing.T) {
	for _, echo := range echoes {
		t.Run(echo.name, func(t *testing.T) {
			s := serve(t, echo.handler)
			var all sync.WaitGroup
			for i := range 32 {
				c := dialSocket(t, echoes[i%2].name, s.url)
				all.Go(func() {
					for j := range lingertest.Times(5, 20) {
						message := strings.Repeat("m", i*j*10)
						got, err := c.roundTrip([]byte(message))
						if err != nil || string(got) != message {
							t.Errorf("a message of %d bytes came back with %d, %v", len(message), len(got), err)
							return
						}
					}
					if err := c.close(); err != nil {
						t.Errorf("the Close handshake: %v", err)
					}
				})
			}
			all.Wait()
		})
	}
}

// handshake asks for a WebSocket.
const handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// A client may send frames before it has the answer to its handshake; they come with the request or in pieces.
// (gorilla/websocket refuses such a client.)
func TestWebSocketFrameBehindTheHandshake(t *testing.T) {
	const frame, echoed = "\x81\x82\x00\x00\x00\x00hi", "\x81\x02hi" // text, masked with zeros
	s := serveFunc(t, coderEcho)
	for _, whole := range []bool{true, false} {
		c := s.dial(t)
		_ = c.SetNoDelay(true)
		if whole {
			c.send(handshake + frame + frame)
		} else {
			for _, b := range []byte(handshake + frame + frame) {
				c.send(string([]byte{b}))
			}
		}
		res, err := http.ReadResponse(c.in, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("the answer to the handshake: %v, %v", res, err)
		}
		got := make([]byte, 2*len(echoed))
		if _, err := io.ReadFull(c.in, got); err != nil || string(got) != echoed+echoed {
			t.Errorf("got %q, %v, want %q twice", got, err, echoed)
		}
	}
}

// gorilla/websocket looks into the buffered reader to see whether the client has sent something before its time.
func TestHijackShowsWhatHasCome(t *testing.T) {
	buffered := make(chan int, 1)
	s := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		buffered <- rw.Reader.Buffered()
		_, _ = io.Copy(rw, bufio.NewReader(io.LimitReader(rw, 5)))
		_ = rw.Flush()
	})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nhello")
	if n := <-buffered; n != 5 {
		t.Errorf("%d bytes are buffered, want 5", n)
	}
	if got, err := c.ended(); got != "hello" || err != nil {
		t.Errorf("got %q, %v, want what was sent, and FIN", got, err)
	}
}

// A handshake that is refused is an answer like any other.
func TestWebSocketRefused(t *testing.T) {
	for _, echo := range echoes {
		t.Run(echo.name, func(t *testing.T) {
			s := serve(t, echo.handler)
			c := s.dial(t)
			for _, change := range []struct {
				name, from, to string
				status         int
			}{
				{"no key", "Sec-WebSocket-Key", "X-Key", 400},
				{"no upgrade", "Upgrade: websocket", "X-Upgrade: websocket", 426},
				{"another site", "Host: x", "Host: x\r\nOrigin: http://example.com", 403},
			} {
				c.send(strings.Replace(handshake, change.from, change.to, 1))
				if res, _ := c.answer("GET"); res.StatusCode != change.status && res.StatusCode != 400 {
					t.Errorf("%s: %s, want %d", change.name, res.Status, change.status)
				}
			}
			c.send(handshake)
			res, err := http.ReadResponse(c.in, nil)
			if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("the answer to the handshake: %v, %v", res, err)
			}
		})
	}
}

// isReset reports whether err says ECONNRESET, in whatever words of a library.
func isReset(err error) bool { return errors.Is(err, errReset) }
