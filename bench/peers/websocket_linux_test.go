//go:build linux

package peers

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"rstserver/internal/wsframe"
)

// webSocket opens one.
func webSocket(t *testing.T, addr, target string) *client {
	t.Helper()
	c := dial(t, addr)
	if resp := c.request(t, target, wsframe.HandshakeFields...); resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") == "" {
		t.Fatalf("GET %s = %s with %v, want a WebSocket", target, resp.Status, resp.Header)
	}
	return c
}

func (c *client) sendFrame(t *testing.T, first byte, payload string) {
	t.Helper()
	if _, err := io.WriteString(c, wsframe.Masked(first, payload)); err != nil {
		t.Fatal(err)
	}
}

// frame reads the next one.
func (c *client) frame() (first byte, payload string, err error) {
	var got []byte
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return 0, "", err
		}
		got = append(got, b)
		if n, payload := wsframe.Cut(got); n == len(got) {
			return got[0], string(payload), nil
		}
	}
}

func (c *client) expectFrame(t *testing.T, first byte, payload string) {
	t.Helper()
	if f, p, err := c.frame(); err != nil || f != first || p != payload {
		t.Fatalf("got %#x %q, %v; want %#x %q", f, p, err, first, payload)
	}
}

// TestWebSockets has messages come back, of either type, and go to all in a room, whose members come and go. Then each is told as the program does it
// on SIGTERM, by a close frame or by its end alone, and the program comes to its end.
func TestWebSockets(t *testing.T) {
	for _, p := range programs() {
		if !slices.Contains(p.paths, "/ws") {
			continue
		}
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := p.start(t)
			echo := webSocket(t, s.addr, "/ws")
			for _, first := range []byte{wsframe.Text, wsframe.Binary} {
				echo.sendFrame(t, first, "hello")
				echo.expectFrame(t, first, "hello")
			}
			var room []*client
			for i := range 3 {
				c := webSocket(t, s.addr, "/ws/room")
				text := fmt.Sprint("I am ", i)
				c.sendFrame(t, wsframe.Binary, text)
				for _, member := range append(room, c) {
					member.expectFrame(t, wsframe.Binary, text)
				}
				room = append(room, c)
			}
			_ = room[0].Close()
			room[1].sendFrame(t, wsframe.Binary, "to all")
			for _, c := range room[1:] {
				c.expectFrame(t, wsframe.Binary, "to all")
			}
			echo.sendFrame(t, wsframe.Text, "still here")
			echo.expectFrame(t, wsframe.Text, "still here")

			if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			for i, c := range append(room[1:], echo) {
				if p.says != "" {
					first, payload, err := c.frame()
					if err != nil || first != wsframe.Close || strconv.Itoa(wsframe.Code([]byte(payload))) != p.says {
						t.Errorf("client %d got %#x %q, %v; want a close frame with %s", i, first, payload, err, p.says)
					}
					// It may not wait for that.
					_, _ = io.WriteString(c, wsframe.Masked(wsframe.Close, payload[:min(len(payload), 2)]))
				}
				if first, payload, err := c.frame(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("client %d got %#x %q, %v; want its end", i, first, payload, err)
				}
				_ = c.Close()
			}
			if state := s.wait(t); p.killed != (state.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM) || !p.killed && state.ExitCode() != 0 {
				t.Errorf("its end is %v; stderr: %s", state, s.errors())
			}
		})
	}
}
