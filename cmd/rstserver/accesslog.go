package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rstserver/poller"
)

// accessLog writes a line for each answer, in the combined format. The lines wait in memory for whoever reads them.
type accessLog struct {
	*logBuffer
	file  *os.File     // nil: it is stdout
	lines sync.Pool    // of *[]byte, to write lines in
	lost  atomic.Int64 // lines
	form  func([]byte, *poller.Answer) []byte
}

// openAccessLog opens the file of that name, or stdout for "-", and appends to it: a line of JSON for each answer, or one in the combined format.
func openAccessLog(name string, stdout io.Writer, asJSON bool, log *slog.Logger) (*accessLog, error) {
	a := &accessLog{lines: sync.Pool{New: func() any { return new([]byte) }}, form: appendCombined}
	if asJSON {
		a.form = appendJSON
	}
	w := &complainingWriter{w: stdout, log: log}
	if name != "-" {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("cannot open --access-log=%s: %w", name, err)
		}
		a.file, w.w = f, f
	}
	a.logBuffer = newLogBuffer(w, func(lines int) []byte {
		a.lost.Add(int64(lines))
		log.Error("lines of the access log were dropped, as it is written more slowly than requests come", "lines", lines)
		return nil
	})
	return a, nil
}

// answered is a Server's Answered.
func (a *accessLog) answered(answer poller.Answer) {
	line := a.lines.Get().(*[]byte)
	*line = a.form((*line)[:0], &answer)
	_, _ = a.Write(*line)
	a.lines.Put(line)
}

// close waits as the buffer does.
func (a *accessLog) close() {
	a.logBuffer.close()
	if a.file != nil {
		_ = a.file.Close()
	}
}

// complainingWriter logs that w fails, once until it does not. Only one goroutine writes.
type complainingWriter struct {
	w     io.Writer
	log   *slog.Logger
	fails bool
}

func (c *complainingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	switch {
	case err != nil && !c.fails:
		c.log.Error("the access log cannot be written to, and lines are lost", "error", err)
	case err == nil && c.fails:
		c.log.Info("the access log can be written to again")
	}
	c.fails = err != nil
	return n, err
}

// appendCombined appends a line in the combined format of Apache and nginx:
//
//	%h - - [%t] "%r" %>s %b "%{Referer}i" "%{User-Agent}i"
//
// with the time at which the request began, escapes as nginx writes them, and 0 for no content, as nginx does.
func appendCombined(b []byte, a *poller.Answer) []byte {
	b = appendHost(b, a.Conn.Remote.Addr())
	b = append(b, " - - ["...)
	b = a.Began.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] "...)
	b = appendQuoted(b, a.RequestLine)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, a.Bytes, 10)
	b = append(b, ' ')
	b = appendQuoted(b, a.Referer)
	b = append(b, ' ')
	b = appendQuoted(b, a.UserAgent)
	return append(b, '\n')
}

// appendHost appends an address, an IPv4 one as such although the socket was for both families.
func appendHost(b []byte, addr netip.Addr) []byte {
	if !addr.IsValid() {
		return append(b, '-')
	}
	return addr.Unmap().WithZone("").AppendTo(b)
}

// appendQuoted appends s between quotes. Whatever a client has sent, it cannot look like another field or another line, nor
// tell a terminal anything. What is empty is a dash.
func appendQuoted(b []byte, s string) []byte {
	if s == "" {
		return append(b, `"-"`...)
	}
	const digits = "0123456789ABCDEF"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f || c == '"' || c == '\\':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&0xf])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// appendJSON appends one JSON object with the same, the protocol, and how long the answer took from the end of the head on, in milliseconds. Without
// TLS there is no version of it, and traceparent only where the client has sent one.
func appendJSON(b []byte, a *poller.Answer) []byte {
	object, err := json.Marshal(struct {
		Time        time.Time `json:"time"`
		Remote      string    `json:"remote"`
		Request     string    `json:"request"`
		Status      int       `json:"status"`
		Bytes       int64     `json:"bytes"`
		Duration    float64   `json:"duration_ms"`
		Protocol    string    `json:"protocol,omitempty"`
		TLS         string    `json:"tls_version,omitempty"`
		Traceparent string    `json:"traceparent,omitempty"`
		Referer     string    `json:"referer,omitempty"`
		UserAgent   string    `json:"user_agent,omitempty"`
	}{a.Began, string(appendHost(nil, a.Conn.Remote.Addr())), a.RequestLine, a.Status, a.Bytes,
		float64(a.Took.Microseconds()) / 1e3, protocolOf(a.RequestLine), tlsVersion(a.TLS), a.Traceparent, a.Referer, a.UserAgent})
	if err != nil {
		return b // a time that no clock has
	}
	return append(append(b, object...), '\n')
}

// protocolOf is what stands last in a request line.
func protocolOf(line string) string {
	if p := line[strings.LastIndexByte(line, ' ')+1:]; strings.HasPrefix(p, "HTTP/") {
		return p
	}
	return ""
}

// tlsVersion is how other logs write it: TLSv1.3.
func tlsVersion(v uint16) string {
	if v == 0 {
		return ""
	}
	return strings.Replace(tls.VersionName(v), "TLS ", "TLSv", 1)
}
