package restartload

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// listen opens an event stream, and another when that has ended, as an EventSource of a browser has (WHATWG HTML, 9.2), but that it comes back
// at once, whatever the stream says about that.
func (c *client) listen() {
	defer c.leave()
	var h heard
	for c.comeBack() {
		began := c.l.Since()
		a, err := c.openStream(h.lastID)
		if err != nil {
			c.note(began, "", err)
			c.close()
			continue
		}
		c.note(began, c.process(a), nil)
		h.begin()
		c.l.await(c.conn, func() {
			switch err := c.readEvents(a.Body, &h); {
			case err == nil && (a.ContentLength >= 0 || len(a.TransferEncoding) > 0):
				if !c.l.ending.Load() {
					c.cut(ended)
				}
			default: // without an error it ends with its connection, so whether all of it came is not known
				c.ended(err)
			}
		})
		c.close()
	}
}

// openStream asks for a stream. What comes behind the head of the answer is not bounded in time.
func (c *client) openStream(lastID string) (*http.Response, error) {
	if err := c.dial(); err != nil {
		return nil, err
	}
	c.deadline()
	fields := []string{"Accept: text/event-stream"}
	if lastID != "" {
		fields = append(fields, "Last-Event-ID: "+lastID)
	}
	_, sent := io.WriteString(c.conn, c.head("GET", c.l.config.EventsPath, fields...))
	a, err := c.readHead()
	switch {
	case err != nil && sent != nil && lossOf(err) != CutAnswer:
		return nil, sent
	case err != nil:
		return nil, err
	case a.StatusCode != http.StatusOK:
		return nil, statusError(a.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(a.Header.Get("Content-Type")); err != nil || media != "text/event-stream" {
		return nil, &lossError{Other, fmt.Errorf("%q is no event stream", a.Header.Get("Content-Type"))}
	}
	return a, nil
}

// readEvents reads events until the stream ends: in order, or with an error.
func (c *client) readEvents(stream io.Reader, h *heard) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEventLine)
	var id, data string
	for some := false; lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if some {
				e := h.hear(id, data)
				e.At = c.l.Since()
				c.events = append(c.events, e)
			}
			some, data = false, ""
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		case field == "data":
			some, data = true, data+value+"\n"
		}
	}
	return lines.Err()
}

// maxEventLine bounds a line of a stream.
const maxEventLine = 1 << 20

// heard is what a client has heard on its streams.
type heard struct {
	lastID string // of the last event, empty if there was none with one
	dense  bool   // that ID is a number, the one behind that of the event before, if there was one on its stream
	recent []identified
	back   bool // no event has come since it has come back
	first  bool // no event has come on this stream
	ever   bool // some have come on streams before
}

// identified is an event with its ID.
type identified struct{ id, data string }

// keptEvents is how many events are known again when they are repeated.
const keptEvents = 128

// begin begins another stream.
func (h *heard) begin() { h.back, h.first = h.ever, true }

// hear notes an event, and what it tells about those before it.
func (h *heard) hear(id, data string) (e Event) {
	this := identified{id, data}
	n, isNumber := number(id)
	before, wasNumber := number(h.lastID)
	switch {
	case h.back && id != "" && slices.Contains(h.recent, this):
		e.Repeated = true
		return e // and what comes behind it tells more
	case h.back && h.dense && isNumber && n > before:
		e.Missed = int(n - before - 1)
	case h.back:
		e.Unknown = true
	}
	h.dense = isNumber && (h.first || wasNumber && n == before+1)
	if id != "" {
		h.lastID = id
		h.recent = append(h.recent[max(0, len(h.recent)-keptEvents+1):], this)
	}
	h.back, h.first, h.ever = false, false, true
	return e
}

func number(id string) (int64, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil && n >= 0
}
