package main

import (
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/layout"
	"rstserver/internal/lingertest"
)

// onTerminal runs another command on the server, on a terminal with so many columns.
func (f *fronted) onTerminal(columns uint16, args ...string) (p *process, keys io.Writer) {
	f.t.Helper()
	return onTerminalOf(f.t.(*testing.T), exec.Command(binary, append([]string{args[0], "--admin", f.admin}, args[1:]...)...), columns)
}

// Whoever is asked says yes to the connections that are listed: one that has come since is not among them, and one that has gone is said to be.
func TestConnectionsAsk(t *testing.T) {
	t.Parallel()
	f := startFronted(t)
	watch, _ := f.onTerminal(60, "connections", "--watch")
	lingertest.Wait(t, "the first table", func() bool { return strings.Contains(watch.text(), "0 connections\n") })
	held := func() int { return int(f.scrape()("connections")) }
	for name, tt := range map[string]struct {
		answer string
		ends   bool
	}{
		"y":           {"y\n", true},
		"yes":         {"Yes\n", true},
		"n":           {"n\n", false},
		"return":      {"\n", false},
		"end of file": {"\x04", false}, // Ctrl-D
	} {
		for _, how := range []string{"--abort", "--close"} {
			t.Run(name+" "+how, func(t *testing.T) {
				one, goes := dial(t, f.addr), dial(t, f.addr)
				one.expectHello()
				goes.expectHello()
				cmd, keys := f.onTerminal(0, "connections", how, "--activity", "idle")
				cmd.asks()
				cmd.expectText(one.LocalAddr().String(), goes.LocalAddr().String(), map[string]string{
					"--abort": "Reset 2 connections? [y/N]", "--close": "End 2 connections in order? [y/N]",
				}[how])
				comes := dial(t, f.addr)
				comes.expectHello()
				_ = goes.Close()
				lingertest.Wait(t, "one has gone", func() bool { return held() == 2 })
				if _, err := io.WriteString(keys, tt.answer); err != nil {
					t.Fatal(err)
				}
				switch {
				case !tt.ends:
					cmd.exitOnTerminal(1)
					cmd.expectText("nothing was touched")
					one.expectHello()
				case how == "--abort":
					cmd.exitOnTerminal(0)
					cmd.expectText("1 connection reset, 1 had ended before")
					one.expectReset()
				default:
					cmd.exitOnTerminal(0)
					cmd.expectText("1 connection told to end, 1 had ended before")
					one.expectEnd()
				}
				comes.expectHello()
				_ = one.Close()
				_ = comes.Close()
				lingertest.Wait(t, "all have gone", func() bool { return held() == 0 })
			})
		}
	}

	// None is none, and nobody to ask is an error.
	cmd, _ := f.onTerminal(0, "connections", "--abort", "--peer", "192.0.2.1")
	cmd.exitOnTerminal(0)
	cmd.expectText("0 connections")
	if _, code := f.run("connections", "--abort"); code != exitUsage {
		t.Errorf("--abort without a terminal and --yes: exit code %d, want %d", code, exitUsage)
	}

	// On a narrow terminal no line of the table is broken, elsewhere all of it is there.
	c := dial(t, f.addr)
	c.send("GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("upgrade: %v, %v", res, err)
	}
	lingertest.Wait(t, "the last table", func() bool { return strings.HasSuffix(watch.text(), "\n1 connection\n") })
	screens := strings.Split(watch.text(), "\x1b[H\x1b[2J")
	last := screens[len(screens)-1]
	for line := range strings.Lines(last) {
		if n := layout.Columns(strings.TrimSuffix(line, "\n")); n > 60 {
			t.Errorf("a line of %d columns on a terminal of 60: %s", n, line)
		}
	}
	if !regexp.MustCompile(`(?m)^\d+ +127\.0\.0\.1:.*…$`).MatchString(last) {
		t.Errorf("the table on a narrow terminal:\n%s", last)
	}
	if out, _ := f.run("connections"); !strings.Contains(out, "  /upgrade\n") {
		t.Errorf("the table that is not on a terminal:\n%s", out)
	}
	watch.signal(syscall.SIGINT)
	watch.exitOnTerminal(0)
	f.stop()
}

// The numbers of connections are a server's own: an action on those of one that has been replaced meanwhile touches nothing.
func TestConnectionsOfAnotherServer(t *testing.T) {
	f := startFronted(t)
	held := dial(t, f.addr)
	held.expectHello()
	res, err := inside(f.admin).PostForm("http://x/connections/abort", url.Values{"id": {"1"}, "server": {"another"}})
	lingertest.Must(t, err)
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 409 || !strings.Contains(string(text), "another server has come meanwhile") {
		t.Errorf("%s: %s", res.Status, text)
	}
	held.expectHello()
	lingertest.Wait(t, "the audit line of what was refused", func() bool {
		return f.stderr.count("audit=true", "abort of connections refused", "uid=", "another server has come meanwhile") == 1
	})
	f.stop()
}
