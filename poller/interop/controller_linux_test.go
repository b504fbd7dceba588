//go:build linux

package interop

import (
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

// wrapped hides all methods of a ResponseWriter but those of http.ResponseWriter, as middleware does. ResponseController finds
// them with Unwrap.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func controller(w http.ResponseWriter) *http.ResponseController {
	return http.NewResponseController(wrapped{wrapped{w}})
}

func TestReadDeadline(t *testing.T) {
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		rc := controller(w)
		if r.URL.Path == "/passed" {
			_ = rc.SetReadDeadline(time.Now().Add(-time.Second))
		}
		buf := make([]byte, 5)
		n, err := io.ReadFull(r.Body, buf)
		if err == nil {
			// One that comes while a read waits.
			time.AfterFunc(time.Millisecond, func() { _ = rc.SetReadDeadline(time.Now()) })
			_, err = r.Body.Read(buf)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %d bytes the read ended with %v, want os.ErrDeadlineExceeded", n, err)
		}
		// One that has been exceeded is not extended, as net/http's documentation says, though net/http itself does.
		_ = rc.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := r.Body.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("behind another deadline the read ended with %v, want os.ErrDeadlineExceeded", err)
		}
		w.WriteHeader(http.StatusRequestTimeout)
	})
	for _, path := range []string{"/passed", "/later"} {
		c := s.dial(t)
		c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
		if res, _ := c.answer("POST"); res.StatusCode != 408 || !res.Close {
			t.Errorf("%s: %s, close %v, want 408 and close", path, res.Status, res.Close)
		}
		if b, err := c.ended(); b != "" || err != nil {
			t.Errorf("%s: then came %q, %v, want FIN", path, b, err)
		}
	}
}

// The deadline belongs to the request, and the next one on the connection has none.
func TestReadDeadlineEndsWithTheRequest(t *testing.T) {
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/deadline" {
			_ = controller(w).SetReadDeadline(time.Now().Add(-time.Second))
			return
		}
		b, err := io.ReadAll(r.Body)
		if string(b) != "hello" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
	c := s.dial(t)
	c.send("GET /deadline HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer("GET")
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
	c.send("llo")
	c.answer("POST")
}

func TestWriteDeadline(t *testing.T) {
	result := make(chan error, 1)
	s := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		rc := controller(w)
		time.AfterFunc(time.Millisecond, func() { _ = rc.SetWriteDeadline(time.Now()) })
		var err error
		for err == nil {
			_, err = w.Write(big) // the client does not read
		}
		result <- err
	})
	c := s.dial(t)
	c.send(get1)
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the write ended with %v, want os.ErrDeadlineExceeded", err)
	}
	c.wantReset()
}

func TestFlushAndHijackThroughWrappers(t *testing.T) {
	goOn := make(chan struct{})
	s := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		rc := controller(w)
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "hello")
		if err := rc.Flush(); err != nil {
			t.Errorf("Flush() = %v", err)
		}
		<-goOn
		conn, _, err := rc.Hijack()
		if err != nil {
			t.Errorf("Hijack() = %v", err)
			return
		}
		_, _ = io.WriteString(conn, "again")
		_ = conn.Close()
		if err := rc.Flush(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Flush() after Hijack() = %v, want http.ErrHijacked", err)
		}
	})
	c := s.dial(t)
	c.send(get1)
	c.readTo("hello")
	close(goOn)
	if b, err := c.ended(); b != "again" || err != nil {
		t.Errorf("then came %q, %v", b, err)
	}
}
