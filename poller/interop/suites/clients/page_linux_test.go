//go:build linux

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browser is a headless Chromium that is spoken to over pipes (the DevTools protocol).
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	id      int
	session string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium := need(t, "chromium", "make clients, or apt-get install chromium")
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(),
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with the processes that it starts
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	t.Cleanup(func() {
		_ = in.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nobody has waited for it yet, so the number is its own
		_ = cmd.Wait()
		_ = out.Close()
	})
	_ = out.SetReadDeadline(time.Now().Add(patience))
	return &browser{t: t, in: in, out: bufio.NewReader(out)}
}

// call tells the browser to do something, and returns the result.
func (b *browser) call(method string, params any) json.RawMessage {
	b.t.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	data, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		line, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(line[:len(line)-1], &answer); err != nil {
			b.t.Fatal(err)
		}
		if answer.ID != b.id {
			continue // an event
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		return answer.Result
	}
}

// open opens a page.
func (b *browser) open(url string) {
	b.t.Helper()
	var target struct{ TargetID string }
	_ = json.Unmarshal(b.call("Target.createTarget", map[string]any{"url": "about:blank"}), &target)
	var attached struct{ SessionID string }
	_ = json.Unmarshal(b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &attached)
	b.session = attached.SessionID
	b.call("Page.navigate", map[string]any{"url": url})
}

// eval returns the value of an expression, as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var answer struct {
		Result struct{ Value any }
	}
	_ = json.Unmarshal(b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}), &answer)
	return fmt.Sprint(answer.Result.Value)
}

// wait waits until an expression has a value.
func (b *browser) wait(expression, want string) {
	b.t.Helper()
	for over := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got := b.eval(expression)
		if got == want {
			return
		}
		if time.Now().After(over) {
			b.t.Fatalf("%s is %q, want %q", expression, got, want)
		}
	}
}

// The status page shows what the server does, as it does it, on a phone and in the dark too, and asks nobody else for anything.
func TestStatusPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a browser: make interop")
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef+/=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, "", command, "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--admin-token-file", token)
	var addr, admin string
	for admin == "" {
		line, ok := <-server.lines
		if !ok {
			t.Fatal("the server has ended")
		}
		if a, ok := strings.CutPrefix(line, "listening on http://"); ok {
			addr = a
		}
		if a, ok := strings.CutPrefix(line, "admin on "); ok {
			admin = a
		}
	}
	go func() {
		for range server.lines {
		}
	}()
	dial := func(send string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = c.Write([]byte(send))
		return c
	}
	for range 2 {
		dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	slow := dial("GET /slow?ms=600000 HTTP/1.1\r\nHost: x\r\n\r\n")

	b := startBrowser(t)
	b.open("http://" + admin + "/#token=" + url.QueryEscape("0123456789abcdef+/="))
	text := func(id string) string { return "document.getElementById('" + id + "')?.textContent" }
	b.wait(text("held"), "3")
	b.wait(text("state"), "serving")
	b.wait(text("handlers"), "1")
	b.wait("document.querySelectorAll('#chart polygon').length", "2") // idle and handling
	b.wait("document.querySelectorAll('#list tr').length", "3")
	b.wait("location.hash", "") // the token is in nobody's way
	// The filter, and the view by client.
	b.eval("document.querySelector('[name=path]').value = '/slow'; document.querySelector('#filter button').click()")
	b.wait(text("total"), "1 connection")
	b.eval("document.querySelector('[name=path]').value = ''; document.querySelector('[name=top]').value = 'peer'; document.querySelector('#filter button').click()")
	b.wait(text("total"), "1 client")
	// It is live.
	_ = slow.Close()
	b.wait(text("held"), "2")
	dial("")
	b.wait(text("held"), "3")
	b.wait("document.getElementById('rps').textContent !== '–'", "true")
	b.wait(text("problem"), "")
	// On a phone nothing is wider than the screen; in the dark it is dark.
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true})
	b.wait("document.documentElement.scrollWidth <= 360", "true")
	light := b.eval("getComputedStyle(document.body).backgroundColor")
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}})
	b.wait("getComputedStyle(document.body).backgroundColor", "rgb(15, 19, 24)")
	if light == "rgb(15, 19, 24)" {
		t.Error("it is dark in the light, too")
	}
	if elsewhere := b.eval("performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).length"); elsewhere != "0" {
		t.Errorf("%s requests went elsewhere", elsewhere)
	}
	// And a drain, which waits for the handler of somebody who waits.
	waits := dial("GET /slow?ms=600000 HTTP/1.1\r\nHost: x\r\n\r\n")
	b.wait(text("handlers"), "1")
	drain := exec.Command(command, "drain", "--admin", admin, "--admin-token-file", token)
	if err := drain.Start(); err != nil {
		t.Fatal(err)
	}
	b.wait(text("state"), "drain")
	b.wait("document.getElementById('progresstitle').textContent.startsWith('drain: 1 of ')", "true")
	_ = waits.Close()
	if err := drain.Wait(); err != nil {
		t.Errorf("drain: %v", err)
	}
	b.wait(text("state"), "not connected")
}
