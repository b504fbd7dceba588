//go:build linux

package poller

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"rstserver/httpcodec"
)

// liar is an io.Reader that says what it likes of how much it has read.
type liar struct {
	says func(room int) int
	left int // calls until it says io.EOF
}

func (l *liar) Read(p []byte) (int, error) {
	if l.left--; l.left < 0 {
		return 0, io.EOF
	}
	return l.says(len(p)), nil
}

// What a user's io.Reader says that it has read is not believed: no client gets what another one was sent, or had sent.
func TestReadersThatLie(t *testing.T) {
	lies := map[string]func(room int) int{
		"more than there is room":     func(room int) int { return room + 100 },
		"more than any buffer":        func(room int) int { return room + 1<<20 },
		"less than nothing":           func(int) int { return -1 },
		"what it has not written":     func(room int) int { return room },
		"a part that was not written": func(room int) int { return room / 2 },
	}
	secret := bytes.Repeat([]byte("secret"), pieceSize)
	const length = 5000
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			s := start(t, &Server{
				Loops:  1,
				OnLoop: func(r *httpcodec.Request) bool { return strings.HasPrefix(string(r.Path), "/loop") },
				LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
					if string(r.Path) == "/loop/secret" {
						w.SetContent(bytes.NewReader(secret), int64(len(secret)))
						return
					}
					w.SetContent(&liar{lie, 3}, length)
				}),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/secret":
						_, _ = io.Copy(w, struct{ io.Reader }{bytes.NewReader(secret)})
					case "/upload":
						_, _ = io.Copy(io.Discard, r.Body)
					default:
						w.Header().Set("Content-Length", fmt.Sprint(length))
						_, _ = io.Copy(w, &liar{lie, 1})
					}
				}),
			})
			// The buffers are another client's first.
			other := s.dial(t)
			other.get("/loop/secret")
			other.get("/secret")
			other.send(fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
				len(secret), secret))
			other.answer("POST")
			for _, target := range []string{"/loop/liar", "/liar"} {
				c := s.dial(t)
				c.send("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if got, _ := c.ended(); strings.Contains(got, "secret") {
					t.Errorf("GET %s got what another client was sent: %.300q", target, got)
				}
			}
			s.dial(t).get("/loop/secret") // and the loop lives on
		})
	}
}
