//go:build linux

package interop

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

func TestTimeoutHandlerInTime(t *testing.T) {
	s := serve(t, http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		w.Header().Set("X-Error", errorClass(err))
		w.WriteHeader(201)
		_, _ = w.Write(b)
	}), lingertest.Patience, "too late"))
	c := s.dial(t)
	for range 3 {
		c.send(post("hello"))
		res, got := c.answer("POST")
		if res.StatusCode != 201 || got != "hello" || res.Header.Get("X-Error") != "no error" {
			t.Errorf("%s %q, read with %s", res.Status, got, res.Header.Get("X-Error"))
		}
	}
}

// The handler goes on when its time is over, and must not find another request's content or answer in its hands.
func TestTimeoutHandlerTooLate(t *testing.T) {
	returned := make(chan error, 1)
	s := serve(t, http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			_, _ = io.WriteString(w, "quick")
			return
		}
		<-r.Context().Done()
		var err error
		for err == nil { // TimeoutHandler takes a moment to notice, too
			_, err = io.WriteString(w, "never sent")
			_, _ = r.Body.Read(make([]byte, 1))
		}
		returned <- err
	}), time.Millisecond, "too late"))
	c := s.dial(t)
	// What waits behind the request must not become its content.
	c.send(post("hello") + "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, got := c.answer("POST"); res.StatusCode != 503 || got != "too late" {
		t.Errorf("%s %q, want 503", res.Status, got)
	}
	if err := <-returned; !errors.Is(err, http.ErrHandlerTimeout) {
		t.Errorf("the handler that is too late gets %v, want http.ErrHandlerTimeout", err)
	}
	// The machine may be slow, and so may be the handler that is quick.
	if res, got := c.answer("GET"); got != "quick" && got != "too late" {
		t.Errorf("%s %q", res.Status, got)
	}
}

func TestTimeoutHandlerPanics(t *testing.T) {
	s := serve(t, http.TimeoutHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("on purpose")
	}), lingertest.Patience, ""))
	c := s.dial(t)
	c.send(get1)
	c.wantReset()
	s.wantLog(t, "on purpose")
}
