package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"rstserver/internal/prose"
	"rstserver/linger"
)

// orderCommand tells a server to let go of its port; the commands differ by name only.
type orderCommand struct {
	adminFlags
	JSON bool `name:"json" help:"Print the lines of JSON that the server answers with, in place of text."`
}

// Help is what the help says below the first line.
func (*orderCommand) Help() string {
	return "It says how far it is, and at last what the server's report says. The exit code is that of the server: 0 when no connection that it held " +
		"outlived the teardown, 1 when one did, that could not be verified, or the server could not be told; 2 for wrong usage. Ctrl-C ends this " +
		"command and nothing else: the server goes on."
}

// orderLine is a line of the answer. The report is kept as it is.
type orderLine struct {
	State       string          `json:"state"`
	Connections json.RawMessage `json:"connections"`
	Held        int64           `json:"held"`
	Closed      int             `json:"closed_in_order"`
	Report      json.RawMessage `json:"report"`
	Text        string          `json:"text"`
	Exit        *int            `json:"exit"`
	Error       string          `json:"error"`
}

func (c *orderCommand) run(mode linger.Mode, stdout, stderr io.Writer) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	body, err := client.ask(context.Background(), "POST", "/"+string(mode), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	var exit *int
	said := ""
	err = eachLine(body, func(line []byte) error {
		if c.JSON {
			fmt.Fprintf(stdout, "%s\n", line)
		}
		var p orderLine
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf("--admin=%s: the answer cannot be understood: %w", client.address, err)
		}
		switch {
		case p.Error != "":
			return errors.New(p.Error)
		case p.Exit != nil:
			if exit = p.Exit; !c.JSON {
				fmt.Fprintln(stdout, p.Text)
			}
		case !c.JSON:
			if now := p.State + ": " + prose.Plural(int(p.Held), "connection") + " left"; now != said {
				said = now
				fmt.Fprintln(stderr, now)
			}
		}
		return nil
	})
	switch {
	case err == nil && exit == nil:
		err = errors.New("the server has ended without a report")
	case err == nil && *exit != exitOK:
		return &exitError{code: *exit}
	}
	return err
}

// limitsCommand shows and changes bounds while a server runs.
type limitsCommand struct {
	adminFlags
	MaxConns    *int      `placeholder:"N" help:"Connections held at a time. 0: what the limit of open files allows. Connections beyond a lower bound live on."`
	MaxBuffered *byteSize `placeholder:"N" help:"Bytes that all connections together may have buffered, such as 256MiB. 0: no bound. What exceeds a lower bound is made room for at once."`
	LogLevel    *string   `placeholder:"LEVEL" help:"What is logged: debug, info, warn or error, and what is more than that."`
	JSON        bool      `name:"json" help:"Print one JSON object in place of text."`
}

// Help is what the help says below the first line.
func (*limitsCommand) Help() string {
	return "Without one of the flags it shows what holds at present. A change lasts until the server ends; a successor has what its flags say."
}

func (c *limitsCommand) run(stdout io.Writer) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	q := url.Values{}
	if c.MaxConns != nil {
		q.Set("max_conns", strconv.Itoa(*c.MaxConns))
	}
	if c.MaxBuffered != nil {
		q.Set("max_buffered", strconv.FormatInt(int64(*c.MaxBuffered), 10))
	}
	if c.LogLevel != nil {
		q.Set("log_level", *c.LogLevel)
	}
	method := "GET"
	if len(q) > 0 {
		method = "POST"
	}
	var limits struct {
		MaxConns    int    `json:"max_conns"`
		MaxBuffered int64  `json:"max_buffered"`
		LogLevel    string `json:"log_level"`
	}
	if err := client.get(context.Background(), method, "/limits", q, &limits); err != nil {
		return err
	}
	if c.JSON {
		printJSON(stdout, limits)
		return nil
	}
	orNoBound := func(n int64, none string) string {
		if n == 0 {
			return none
		}
		return strconv.FormatInt(n, 10)
	}
	fmt.Fprintf(stdout, "max-conns     %s\nmax-buffered  %s\nlog-level     %s\n", orNoBound(int64(limits.MaxConns), "what the limit of open files allows"),
		orNoBound(limits.MaxBuffered, "no bound"), limits.LogLevel)
	return nil
}
