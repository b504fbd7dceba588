//go:build linux

package fleet

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rstserver/bench/kinds"
)

// h2 is the HTTP/2 of a client.
type h2 struct {
	framer *http2.Framer // of in and out
	in     bytes.Buffer  // what has come, and is no whole frame yet
	out    bytes.Buffer
	open   int  // streams that are not answered
	agreed bool // the server has sent its settings, which the client has acknowledged
	lost   bool // the server has reset a stream
	goAway bool // it has sent GOAWAY
}

// newH2 is for a client that has so many streams.
func newH2(streams int) *h2 {
	h := &h2{open: streams}
	h.framer = http2.NewFramer(&h.out, &h.in)
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return h
}

// h2Requests is what a client sends first: the preface (RFC 9113, 3.4) and a GET of target on each of so many streams.
func h2Requests(target string, streams int) string {
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer, encoder := http2.NewFramer(&out, nil), hpack.NewEncoder(&block)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	for i := range streams {
		block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "bench"}, {Name: ":path", Value: target},
		} {
			_ = encoder.WriteField(f)
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	}
	return out.String()
}

// h2Frames deals with frames of the server's.
func (c *client) h2Frames(b []byte) error {
	h := c.h2
	h.in.Write(b)
	for wholeFrame(h.in.Bytes()) {
		frame, err := h.framer.ReadFrame()
		if err != nil {
			return fmt.Errorf("a frame is malformed: %w", err)
		}
		if err := h.take(frame); err != nil {
			return err
		}
	}
	if h.in.Len() > maxAwaited {
		return fmt.Errorf("a frame of more than %d bytes came", maxAwaited)
	}
	if h.out.Len() > 0 {
		_ = c.write(h.out.Bytes()) // if the connection is over, the next read says so
		h.out.Reset()
	}
	switch {
	case !c.ready && h.lost:
		return errors.New("the server has reset the stream of a request")
	case !c.ready && h.agreed && (h.open == 0 || c.kind == kinds.H2Streams):
		c.step++
		return c.begin()
	case !c.ready || h.open > 0 || h.lost:
	case c.kind == kinds.H2Streams && c.ending == Untold:
		c.ending = Answered
	}
	if h.goAway && h.open == 0 {
		// Nothing more can come, and the client closes, as those of users do.
		if c.last = true; c.ending == Untold {
			c.ending = Left
		}
	}
	return nil
}

// take deals with one frame.
func (h *h2) take(frame http2.Frame) error {
	ended := false
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			h.agreed = true
			return h.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return h.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		if status := f.PseudoValue("status"); status >= "400" {
			return fmt.Errorf("the answer is %s: name a path that it serves", status)
		}
		ended = f.StreamEnded()
	case *http2.DataFrame:
		ended = f.StreamEnded()
	case *http2.RSTStreamFrame:
		h.lost, ended = true, true
	case *http2.GoAwayFrame:
		h.goAway = true
	}
	if ended {
		h.open--
	}
	return nil
}

// wholeFrame reports whether b begins with a whole frame, or, of a head, with all frames of it (RFC 9113, 4.1 and 4.3).
func wholeFrame(b []byte) bool {
	for {
		if len(b) < 9 {
			return false
		}
		n := 9 + int(b[0])<<16 + int(b[1])<<8 + int(b[2])
		if len(b) < n {
			return false
		}
		of, flags := http2.FrameType(b[3]), http2.Flags(b[4])
		if of != http2.FrameHeaders && of != http2.FrameContinuation || flags.Has(http2.FlagHeadersEndHeaders) {
			return true
		}
		b = b[n:]
	}
}
