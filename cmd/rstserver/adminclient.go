package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"rstserver/poller/admin"
)

// adminFlags say where the server is that is asked.
type adminFlags struct {
	Admin          string `env:"RSTSERVER_ADMIN" default:"" placeholder:"unix:PATH|HOST:PORT" help:"The --admin of the server. Default: what RSTSERVER_ADMIN says."`
	AdminTokenFile string `env:"RSTSERVER_TOKEN_FILE" default:"" placeholder:"FILE" help:"The --admin-token-file of the server, for HOST:PORT. Default: what RSTSERVER_TOKEN_FILE says."`
}

// adminClient asks a server.
type adminClient struct {
	http.Client
	base, token, address string
}

// adminPatience is how long the server has to begin its answer.
const adminPatience = 15 * time.Second

func (f *adminFlags) client() (*adminClient, error) {
	c := &adminClient{address: f.Admin}
	path, is := isUnix(f.Admin)
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		var d net.Dialer
		if is {
			return d.DialContext(ctx, "unix", path)
		}
		return d.DialContext(ctx, "tcp", addr)
	}
	switch {
	case f.Admin == "":
		return nil, usage("--admin: say which server is meant: unix:PATH or HOST:PORT, as its own --admin says; or set RSTSERVER_ADMIN")
	case is && path == "":
		return nil, usage("--admin=%s: it lacks the path of the socket", f.Admin)
	case is:
		c.base = "http://localhost"
	default:
		if err := checkHostPort("--admin", f.Admin); err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("%w, or unix:PATH", err)}
		}
		c.base = "http://" + f.Admin
		if f.AdminTokenFile == "" {
			return nil, usage("--admin=%s: it asks for a token: add --admin-token-file FILE", f.Admin)
		}
		var err error
		if c.token, err = admin.ReadToken(f.AdminTokenFile); err != nil {
			return nil, fmt.Errorf("--admin-token-file: %w", err)
		}
	}
	c.Transport = &http.Transport{DialContext: dial, DisableKeepAlives: true, ResponseHeaderTimeout: adminPatience, Proxy: nil}
	return c, nil
}

// ask sends a request, and returns the content of an answer of 200, which the caller closes. What is asked for is in the query, or for
// POST in the content, which has room for more.
func (c *adminClient) ask(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	target, content := c.base+path+"?"+query.Encode(), ""
	if method == http.MethodPost {
		target, content = c.base+path, query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(content))
	if err != nil {
		return nil, err
	}
	if content != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.Do(req)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("--admin=%s: there is no such socket: no server was started with that --admin, or it has ended", c.address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("--admin=%s: nobody listens there: the server has ended", c.address)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("--admin=%s: only the user of the server, and root, may ask: sudo, or sudo -u USER", c.address)
	case err != nil:
		return nil, fmt.Errorf("--admin=%s: %w", c.address, err)
	case res.StatusCode == http.StatusOK:
		return res.Body, nil
	}
	defer res.Body.Close()
	var answer struct{ Error string }
	if json.NewDecoder(res.Body).Decode(&answer) != nil || answer.Error == "" {
		return nil, fmt.Errorf("--admin=%s answers %s", c.address, res.Status)
	}
	return nil, errors.New(answer.Error)
}

// get is ask for an answer that is one JSON value.
func (c *adminClient) get(ctx context.Context, method, path string, query url.Values, into any) error {
	body, err := c.ask(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("--admin=%s: the answer cannot be understood: %w", c.address, err)
	}
	return nil
}

// eachLine calls f with each line of what is streamed.
func eachLine(r io.Reader, f func([]byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
