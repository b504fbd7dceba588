//go:build linux

package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// http2Conn is one connection of net/http's client for HTTP/2, with requests of which each has the head of its answer.
type http2Conn struct {
	transport *http.Transport
	below     *Recorder
	answers   []*http.Response
}

// HTTP2Client asks for each path on one connection. The answer to "/" is read to its end.
func HTTP2Client(config *tls.Config, paths ...string) func(testing.TB, *Served) (Client, error) {
	return func(_ testing.TB, s *Served) (Client, error) {
		below, err := s.Dial()
		if err != nil {
			return nil, err
		}
		config := config.Clone()
		config.NextProtos = []string{"h2"}
		conn := tls.Client(below, config)
		if err := conn.Handshake(); err != nil {
			return nil, err
		}
		dialled := false
		c := &http2Conn{below: below, transport: &http.Transport{
			ForceAttemptHTTP2: true,
			DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
				if dialled {
					return nil, errors.New("a second connection")
				}
				dialled = true
				return conn, nil
			},
		}}
		for _, path := range paths {
			req, err := http.NewRequest("GET", "https://"+s.AddrPort.String()+path, nil)
			if err != nil {
				return nil, err
			}
			resp, err := c.transport.RoundTrip(req)
			if err != nil {
				return nil, err
			}
			if resp.ProtoMajor != 2 {
				return nil, fmt.Errorf("the answer is of %s", resp.Proto)
			}
			if path == "/" {
				_, err = io.Copy(io.Discard, resp.Body)
				if err := errors.Join(err, resp.Body.Close()); err != nil {
					return nil, err
				}
				continue
			}
			c.answers = append(c.answers, resp)
		}
		return c, nil
	}
}

// End returns what readers of the answers see, or the connection itself where there are none.
func (c *http2Conn) End() error {
	defer c.below.Close()
	defer c.transport.CloseIdleConnections()
	err := c.below.Wait()
	for _, resp := range c.answers {
		_, e := io.Copy(io.Discard, resp.Body)
		if e == nil {
			return errors.New("an answer that was cut looks whole")
		}
		// After a GOAWAY, which the server's graceful stop sends, that is all that the client tells its user. And what a write
		// was told, a read is not told again.
		if !errors.Is(e, err) && !strings.Contains(e.Error(), "server sent GOAWAY") && !errors.Is(e, io.ErrUnexpectedEOF) {
			return e
		}
		resp.Body.Close()
	}
	return err
}

// Whole reads the answers and waits for the end of the connection.
func (c *http2Conn) Whole() error {
	defer c.below.Close()
	for _, resp := range c.answers {
		_, err := io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
	}
	c.transport.CloseIdleConnections()
	return nil
}
