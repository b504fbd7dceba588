//go:build linux

package interop

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

// rawClient is a client that speaks HTTP/1.1 by hand, perhaps over TLS.
type rawClient struct {
	*recorder
	conn   net.Conn // the recorder, or TLS over it
	reader *bufio.Reader
}

// end reads to the end.
func (c *rawClient) end() error {
	defer c.recorder.Close()
	_ = c.recorder.SetDeadline(time.Now().Add(lingertest.Patience))
	_, err := io.Copy(io.Discard, c.reader)
	return err
}

// whole reads one answer and the end of the connection.
func (c *rawClient) whole() error {
	defer c.recorder.Close()
	_ = c.recorder.SetDeadline(time.Now().Add(lingertest.Patience))
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c.reader)
	return err
}

func (c *rawClient) send(data string) error {
	_, err := io.WriteString(c.conn, data)
	return err
}

// get sends a request and reads the answer.
func (c *rawClient) get(path string) error {
	if err := c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

// raw opens a connection and does the rest by hand.
func raw(do func(*rawClient) error) func(testing.TB, *served) (client, error) {
	return func(_ testing.TB, s *served) (client, error) {
		r, err := s.dial()
		if err != nil {
			return nil, err
		}
		c := &rawClient{recorder: r, conn: r, reader: bufio.NewReader(r)}
		return c, do(c)
	}
}

// rawTLS is raw after a TLS handshake.
func rawTLS(config *tls.Config, do func(*rawClient) error) func(testing.TB, *served) (client, error) {
	return func(_ testing.TB, s *served) (client, error) {
		r, err := s.dial()
		if err != nil {
			return nil, err
		}
		conn := tls.Client(r, config)
		c := &rawClient{recorder: r, conn: conn, reader: bufio.NewReader(conn)}
		if err := conn.Handshake(); err != nil {
			return nil, err
		}
		return c, do(c)
	}
}

func sends(data string) func(*rawClient) error {
	return func(c *rawClient) error { return c.send(data) }
}

// upgrades sends a request and waits for the 101.
func upgrades(path string) func(*rawClient) error {
	return func(c *rawClient) error {
		if err := c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"); err != nil {
			return err
		}
		line, err := c.reader.ReadString('\n')
		if err == nil && !strings.Contains(line, "101") {
			err = fmt.Errorf("the answer is %q", line)
		}
		return err
	}
}

// finishing are connections with an answer that is complete when the gate is opened.
func finishing(open func(func(*rawClient) error) func(testing.TB, *served) (client, error)) []state {
	return []state{
		{name: "in a handler", open: open(sends(fmt.Sprintf(get, "/wait"))), handlers: 1},
		{name: "half an answer", open: open(sends(fmt.Sprintf(get, "/half"))), handlers: 1},
	}
}

const get = "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"

// httpStates are those of connections of HTTP/1.1 that a server has got as they are, or behind TLS.
func httpStates(open func(func(*rawClient) error) func(testing.TB, *served) (client, error)) []state {
	return []state{
		{name: "idle", open: open(func(c *rawClient) error { return c.get("/") })},
		{name: "idle, second request begun", open: open(func(c *rawClient) error {
			if err := c.get("/"); err != nil {
				return err
			}
			return c.send("GE")
		})},
		{name: "half a request", open: open(sends("GET / HTTP/1.1\r\nHos"))},
		{name: "in a handler", open: open(sends(fmt.Sprintf(get, "/wait"))), handlers: 1},
		{name: "half an answer", open: open(sends(fmt.Sprintf(get, "/half"))), handlers: 1},
		{name: "pipelined", open: open(sends(fmt.Sprintf(get+get, "/wait", "/"))), handlers: 1},
		{name: "half a body", open: open(sends("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")), handlers: 1},
		{name: "slow reader", open: open(sends(fmt.Sprintf(get, "/endless"))), handlers: 1, sending: true},
		{name: "hijacked", open: open(upgrades("/hijack")), handlers: 1},
	}
}
