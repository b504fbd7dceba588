//go:build linux

package fleet

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// A RawClient is a client that speaks HTTP/1.1 by hand, perhaps over TLS.
type RawClient struct {
	*Recorder
	conn   net.Conn // the recorder, or TLS over it
	Reader *bufio.Reader
}

// End reads to the end.
func (c *RawClient) End() error {
	defer c.Recorder.Close()
	_ = c.Recorder.SetDeadline(time.Now().Add(lingertest.Patience))
	_, err := io.Copy(io.Discard, c.Reader)
	return err
}

// Whole reads one answer and the end of the connection.
func (c *RawClient) Whole() error {
	defer c.Recorder.Close()
	_ = c.Recorder.SetDeadline(time.Now().Add(lingertest.Patience))
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c.Reader)
	return err
}

// Send writes data as it is.
func (c *RawClient) Send(data string) error {
	_, err := io.WriteString(c.conn, data)
	return err
}

// Get sends a request and reads the answer.
func (c *RawClient) Get(path string) error {
	if err := c.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

// An Opener returns a way to open a connection after which do is done.
type Opener func(do func(*RawClient) error) func(testing.TB, *Served) (Client, error)

// Raw opens a connection and does the rest by hand.
func Raw(do func(*RawClient) error) func(testing.TB, *Served) (Client, error) {
	return func(_ testing.TB, s *Served) (Client, error) {
		r, err := s.Dial()
		if err != nil {
			return nil, err
		}
		c := &RawClient{Recorder: r, conn: r, Reader: bufio.NewReader(r)}
		return c, do(c)
	}
}

// rawTLS is Raw after a TLS handshake.
func rawTLS(config *tls.Config, do func(*RawClient) error) func(testing.TB, *Served) (Client, error) {
	return func(_ testing.TB, s *Served) (Client, error) {
		r, err := s.Dial()
		if err != nil {
			return nil, err
		}
		conn := tls.Client(r, config)
		c := &RawClient{Recorder: r, conn: conn, Reader: bufio.NewReader(conn)}
		if err := conn.Handshake(); err != nil {
			return nil, err
		}
		return c, do(c)
	}
}

// OverTLS sends everything of a connection over TLS.
func OverTLS(config *tls.Config) Opener {
	return func(do func(*RawClient) error) func(testing.TB, *Served) (Client, error) { return rawTLS(config, do) }
}

// Sends sends data, and nothing after it.
func Sends(data string) func(*RawClient) error {
	return func(c *RawClient) error { return c.Send(data) }
}

// upgrades sends a request and waits for the 101.
func upgrades(path string) func(*RawClient) error {
	return func(c *RawClient) error {
		if err := c.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"); err != nil {
			return err
		}
		line, err := c.Reader.ReadString('\n')
		if err == nil && !strings.Contains(line, "101") {
			err = fmt.Errorf("the answer is %q", line)
		}
		return err
	}
}

// Finishing are connections with an answer that is complete when the gate is opened.
func Finishing(open Opener) []State {
	return []State{
		{Name: "in a handler", Open: open(Sends(fmt.Sprintf(GetRequest, "/wait"))), Handlers: 1},
		{Name: "half an answer", Open: open(Sends(fmt.Sprintf(GetRequest, "/half"))), Handlers: 1},
	}
}

// GetRequest is a request for the path that is filled in.
const GetRequest = "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"

// HTTPStates are those of connections of HTTP/1.1 that a server has got as they are, or behind TLS.
func HTTPStates(open Opener) []State {
	return []State{
		{Name: "idle", Open: open(func(c *RawClient) error { return c.Get("/") })},
		{Name: "idle, second request begun", Open: open(func(c *RawClient) error {
			if err := c.Get("/"); err != nil {
				return err
			}
			return c.Send("GE")
		})},
		{Name: "half a request", Open: open(Sends("GET / HTTP/1.1\r\nHos"))},
		{Name: "in a handler", Open: open(Sends(fmt.Sprintf(GetRequest, "/wait"))), Handlers: 1},
		{Name: "half an answer", Open: open(Sends(fmt.Sprintf(GetRequest, "/half"))), Handlers: 1},
		{Name: "pipelined", Open: open(Sends(fmt.Sprintf(GetRequest+GetRequest, "/wait", "/"))), Handlers: 1},
		{Name: "half a body", Open: open(Sends("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")), Handlers: 1},
		{Name: "slow reader", Open: open(Sends(fmt.Sprintf(GetRequest, "/endless"))), Handlers: 1, Sending: true},
		{Name: "hijacked", Open: open(upgrades("/hijack")), Handlers: 1},
	}
}
