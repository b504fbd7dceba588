//go:build linux

package interop

import (
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// writerBehaviours are about what else an http.ResponseWriter is, and about handlers that do not return.
var writerBehaviours = []behaviour{
	{name: "panic before the answer", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "never sent")
			panic("on purpose")
		}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "panic in the answer", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, "sent")
		flush(w, tr)
		panic("on purpose")
	}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "ErrAbortHandler", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		write(w, tr, "sent")
		flush(w, tr)
		panic(http.ErrAbortHandler)
	}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},

	{name: "ReadFrom a file", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		f, err := os.Open("testdata/page.html")
		if err != nil {
			panic(err)
		}
		defer f.Close()
		n, err := io.Copy(w, f)
		tr.notef("copied %d: %s", n, errorClass(err))
	}},
	{name: "ReadFrom a part of a file", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			f, err := os.Open("testdata/page.html")
			if err != nil {
				panic(err)
			}
			defer f.Close()
			w.Header().Set("Content-Length", "20")
			n, err := io.CopyN(w, f, 20)
			tr.notef("copied %d: %s", n, errorClass(err))
		}},
	{name: "ReadFrom more than Content-Length", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "5")
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("hello, world"))
			tr.notef("copied: %s", errorClass(err))
			write(w, tr, "hello")
		}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "ReadFrom a reader that fails", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			n, err := io.Copy(w, &brokenReader{10})
			tr.notef("copied %d: reader's error %v", n, err == errFromReader)
		}},

	{name: "Hijack", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			tr.notef("hijack: %s", errorClass(err))
			return
		}
		defer conn.Close()
		line, err := rw.ReadString('\n')
		tr.notef("read %q: %s", line, errorClass(err))
		_, err = rw.WriteString("HTTP/1.1 200 Taken\r\nContent-Length: 2\r\n\r\nok")
		tr.notef("written: %s, %s", errorClass(err), errorClass(rw.Flush()))
		write(w, tr, "x")
		_, _, err = http.NewResponseController(w).Hijack()
		tr.notef("hijack again: %s", errorClass(err))
		_, _ = io.Copy(io.Discard, io.LimitReader(rw, int64(len(sentinel)-len(line)))) // closing with input unread resets
	}},
	{name: "Hijack after WriteHeader", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(200)
			conn, rw, err := http.NewResponseController(w).Hijack()
			tr.notef("hijack: %s", errorClass(err))
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "hello")
			_, _ = io.Copy(io.Discard, io.LimitReader(rw, int64(len(sentinel))))
		}},
	{name: "Hijack after Write", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		w.Header().Set("Content-Length", "10")
		write(w, tr, "hello")
		conn, rw, err := http.NewResponseController(w).Hijack()
		tr.notef("hijack: %s", errorClass(err))
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "again")
		_, _ = io.Copy(io.Discard, io.LimitReader(rw, int64(len(sentinel))))
	}, differences: []difference{
		{"what was written before is sent; net/http loses it", "content cut off: \"again\"", "content: \"helloagain\""},
		{"and its type is found", "field: Date", "field: Content-Type: text/plain; charset=utf-8\nfield: Date"},
	}},
	{name: "deadlines", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		rc := http.NewResponseController(w)
		tr.notef("full duplex: %s", errorClass(rc.EnableFullDuplex()))
		tr.notef("read deadline: %s", errorClass(rc.SetReadDeadline(time.Now().Add(time.Hour))))
		tr.notef("write deadline: %s", errorClass(rc.SetWriteDeadline(time.Now().Add(time.Hour))))
		tr.notef("no deadline: %s, %s", errorClass(rc.SetReadDeadline(time.Time{})), errorClass(rc.SetWriteDeadline(time.Time{})))
		write(w, tr, "x")
	}},
	{name: "what the writer is", request: get1, handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		_, stringWriter := w.(io.StringWriter)
		_, flushError := w.(interface{ FlushError() error })
		_, pusher := w.(http.Pusher)
		tr.notef("%v %v %v %v %v %v", flusher, hijacker, readerFrom, stringWriter, flushError, pusher)
	}},
}
