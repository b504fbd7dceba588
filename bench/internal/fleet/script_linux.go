//go:build linux

package fleet

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"rstserver/bench/kinds"
	"rstserver/internal/wsframe"
)

// script is what a client of a kind does.
type script struct {
	steps []step
	// answer reports whether the bytes are the answer that the client waits for beyond the steps. Nil: it waits for none.
	answer await
	// leaves: the client does not read what the server sends.
	leaves bool
	// silent: the server is to send nothing before the signal.
	silent bool
	// queued: at the end the server has bytes of the client's unread.
	queued bool
	// frames: what comes behind the steps are frames of a WebSocket, and a close frame is answered.
	frames bool
	// tls is what the client makes its handshake with, before the steps. Nil: it is plain TCP.
	tls *tls.Config
	// streams is how many requests of HTTP/2 the steps have. 0: it is HTTP/1.1.
	streams int
	// closes: the answer is the connection's last, as its head may say, and the client closes at its end.
	closes bool
}

// step is one round trip: what is sent, and what is waited for then, if anything.
type step struct {
	send  string
	await await
	// seen is what ended the step for the last client. It does for another too, who is sent the same bytes at once; to parse them each
	// time would take longer than to open a connection.
	seen []byte
}

// await reports whether what the server has sent so far is what is waited for. An error is final.
type await func(got []byte) (bool, error)

// get is a request for target.
func get(target string, fields ...string) string {
	request := "GET " + target + " HTTP/1.1\r\nHost: bench\r\n"
	for _, f := range fields {
		request += f + "\r\n"
	}
	return request + "\r\n"
}

const halfRequest = "GET / HTTP/1.1\r\nHost: be"

// ever is how long a Stuck request takes: longer than any run.
const ever = 24 * time.Hour

// unread is what is sent behind a request in flight, at the most. It is more than a server reads ahead, and less than the
// kernel takes from one that does not read.
const unread = 64 << 10

// scripts are the scripts of the kinds of a mix. The error names a kind for which the server has no path.
func (t Target) scripts(m Mix) (map[kinds.Kind]*script, error) {
	scripts := make(map[kinds.Kind]*script)
	for _, s := range m {
		if err := errors.Join(t.Paths.Lack(s.Kind), s.Kind.Over(t.TLS)); err != nil && !t.Bare {
			return nil, err
		}
		scripts[s.Kind] = t.script(s.Kind)
	}
	return scripts, nil
}

func (t Target) script(kind kinds.Kind) *script {
	if t.Bare {
		return &script{}
	}
	s := t.said(kind)
	switch {
	case !t.TLS || kind == kinds.Fresh || kind == kinds.Handshake:
	case kind.IsHTTP2():
		s.tls = configuration(protocolH2)
	default:
		s.tls = configuration("http/1.1")
	}
	return s
}

// said is the script without TLS.
func (t Target) said(kind kinds.Kind) *script {
	switch kind {
	case kinds.Idle:
		return &script{steps: []step{{send: get(t.Paths.Get), await: answered}}}
	case kinds.Half:
		return &script{steps: []step{{send: halfRequest}}}
	case kinds.InFlight:
		return &script{steps: []step{{send: get(t.Paths.LateBy(t.Late))}}, answer: answered}
	case kinds.Stuck:
		return &script{steps: []step{{send: get(t.Paths.LateBy(ever))}}, silent: true}
	case kinds.Unread:
		more := get(t.Paths.Get)
		return &script{
			steps:  []step{{send: get(t.Paths.LateBy(ever))}, {send: strings.Repeat(more, unread/len(more))}},
			silent: true, queued: true,
		}
	case kinds.Full:
		// Once a part of the answer is there, the server has stopped reading.
		return &script{steps: []step{{send: get(t.Paths.Large), await: anything}, {send: halfRequest}}, leaves: true, queued: true}
	case kinds.Streaming:
		return &script{steps: []step{{send: get(t.Paths.Stream), await: begun}}}
	case kinds.Upgraded:
		fields := []string{"Connection: Upgrade", "Upgrade: " + t.Paths.Protocol}
		if t.Paths.Protocol == "websocket" {
			fields = wsframe.HandshakeFields
		}
		steps := []step{{send: get(t.Paths.Upgrade, fields...), await: switched}}
		if t.Paths.Protocol == "echo" {
			steps = append(steps, step{send: echo, await: func(got []byte) (bool, error) { return bytes.Contains(got, []byte(echo)), nil }})
		}
		return &script{steps: steps}
	case kinds.WebSocket:
		return &script{
			steps: []step{
				{send: get(t.Paths.WebSocket, wsframe.HandshakeFields...), await: switched},
				{send: wsframe.Masked(wsframe.Text, echo), await: func(got []byte) (bool, error) { return bytes.Contains(got, []byte(echo)), nil }},
			},
			frames: true,
		}
	case kinds.Handshake:
		return &script{steps: []step{{send: clientHello()}}}
	case kinds.H2:
		return &script{steps: []step{{send: h2Requests(t.Paths.Get, 1), await: inFrames}}, streams: 1}
	case kinds.H2Streams:
		return &script{steps: []step{{send: h2Requests(t.Paths.LateBy(t.Late), kinds.Streams), await: inFrames}}, streams: kinds.Streams}
	case kinds.SSE:
		return &script{
			steps:  []step{{send: get(t.Paths.Events, "Accept: text/event-stream"), await: eventCame}},
			answer: chunksEnded, closes: true,
		}
	}
	return &script{} // Fresh
}

const echo = "to and fro"

// inFrames is that of a client to which frames say when it is over.
func inFrames([]byte) (bool, error) { return false, nil }

// anything is an await for which the first byte is enough.
func anything(got []byte) (bool, error) { return len(got) > 0, nil }

// answered waits for the whole answer to a GET, one that is no error.
func answered(got []byte) (bool, error) {
	src := &source{left: got}
	resp, err := head(src)
	if resp == nil {
		return false, err
	}
	defer resp.Body.Close()
	switch _, err := io.Copy(io.Discard, resp.Body); {
	case resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.Body != http.NoBody:
		return false, errors.New("the answer has neither Content-Length nor chunks, so it ends with the connection")
	case err != nil && src.over: // net/http has several errors for that
		return false, nil
	case err != nil:
		return false, fmt.Errorf("the answer is malformed: %w", err)
	}
	return true, nil
}

// begun waits for an answer's head and a byte of its content.
func begun(got []byte) (bool, error) {
	resp, err := head(&source{left: got})
	if resp == nil {
		return false, err
	}
	defer resp.Body.Close()
	n, _ := resp.Body.Read(make([]byte, 1))
	return n > 0, nil
}

// eventCame waits for an answer's head and an event.
func eventCame(got []byte) (bool, error) {
	yes, err := begun(got)
	_, content, _ := bytes.Cut(got, []byte("\r\n\r\n"))
	return yes && bytes.Contains(content, []byte("\n\n")), err
}

// chunksEnded waits for the end of content in chunks, without trailers.
func chunksEnded(got []byte) (bool, error) {
	return bytes.HasSuffix(got, []byte("\r\n0\r\n\r\n")) || string(got) == "0\r\n\r\n", nil
}

// source is what has come so far, as a reader.
type source struct {
	left []byte
	over bool // more was asked for than has come
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		s.over = true
		return 0, io.EOF
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// head parses the head of an answer, nil if it is not whole yet. A status of 400 and more is an error.
func head(src *source) (*http.Response, error) {
	for {
		_, behind, whole := bytes.Cut(src.left, []byte("\r\n\r\n"))
		if !whole {
			return nil, nil
		}
		resp, err := http.ReadResponse(bufio.NewReader(src), nil)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the answer is malformed: %w", err)
		case resp.StatusCode >= http.StatusBadRequest:
			return nil, fmt.Errorf("the answer is %s: name a path that it serves", resp.Status)
		case resp.StatusCode >= http.StatusOK:
			return resp, nil
		}
		src.left = behind // an interim answer (RFC 9110, 15.2)
	}
}

// switched waits for 101 and the end of its head.
func switched(got []byte) (bool, error) {
	if !bytes.Contains(got, []byte("\r\n\r\n")) {
		return false, nil
	}
	if status, _, _ := bytes.Cut(got, []byte("\r\n")); !bytes.HasPrefix(status, []byte("HTTP/1.1 101")) {
		return false, fmt.Errorf("the answer to the upgrade is %q, not 101", status)
	}
	return true, nil
}

// saysClose reports whether an answer is the last of its connection (RFC 9112, 9.6).
func saysClose(got []byte) bool {
	resp, err := head(&source{left: got})
	if resp == nil || err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.Close
}
