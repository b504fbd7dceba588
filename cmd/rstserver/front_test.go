package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

func TestHealth(t *testing.T) {
	f := startFronted(t, "--drain-delay", "1h", "--drain-timeout", "0")
	for _, path := range []string{"/livez", "/readyz"} {
		if status, text := get(t, f.health+path); status != 200 || text != "ok\n" {
			t.Errorf("%s: %d %q", path, status, text)
		}
	}
	held := dial(t, f.addr)
	f.signal(syscall.SIGQUIT)
	lingertest.Wait(t, "the delay of the drain", func() bool { status, _ := get(t, f.health+"/readyz"); return status == 503 })
	// It is accepted still, and alive.
	if status, _ := get(t, f.health+"/livez"); status != 200 {
		t.Errorf("/livez in the delay: %d", status)
	}
	if status, _ := get(t, "http://"+f.addr.String()+"/"); status != 200 {
		t.Errorf("/ in the delay: %d", status)
	}
	if status, _ := get(t, f.health+"/connections"); status != 404 {
		t.Errorf("--health names connections: %d", status)
	}
	_ = held.Close()
	f.stop()
}

// At the descriptor limit, and with as many connections as there may be, both answer.
func TestFrontWhenFull(t *testing.T) {
	t.Parallel()
	admin := "unix:" + filepath.Join(t.TempDir(), "admin")
	f := &fronted{t: t, admin: admin}
	f.process = startLimited(t, "120", "--health", "127.0.0.1:0", "--admin", admin)
	f.findHealth()
	var all []*client
	lingertest.Wait(t, "accepting pauses", func() bool {
		all = append(all, dial(t, f.addr))
		return f.scrape()("accepting") == 0
	})
	if status, _ := get(t, f.health+"/readyz"); status != 200 {
		t.Errorf("/readyz of a full server: %d", status)
	}
	out, code := f.run("connections", "--abort", "--activity", "new", "--yes")
	if code != 0 || !strings.Contains(out, "connections reset") {
		t.Errorf("connections --abort at the limit: exit code %d, %q", code, out)
	}
	_ = all
	if out, code := f.run("abort"); code != 0 || !strings.Contains(out, "by abort: nothing") {
		t.Errorf("abort at the limit: exit code %d, %q", code, out)
	}
	f.exit(0)
}

func TestLimits(t *testing.T) {
	f := startFronted(t, "--log-level", "warn")
	if out, code := f.run("limits", "--json"); code != 0 || !strings.Contains(out, `"log_level":"WARN"`) {
		t.Errorf("limits: exit code %d, %s", code, out)
	}
	out, code := f.run("limits", "--max-conns", "7", "--max-buffered", "64MiB", "--log-level", "debug", "--json")
	want := `{"max_conns":7,"max_buffered":67108864,"log_level":"DEBUG"}` + "\n"
	if code != 0 || out != want {
		t.Errorf("limits: exit code %d, %s, want %s", code, out, want)
	}
	if s := f.scrape(); s("connections_max") != 7 || s("buffered_max_bytes") != 64<<20 {
		t.Errorf("the metrics say %v connections and %v bytes", s("connections_max"), s("buffered_max_bytes"))
	}
	if n := f.stderr.count("audit=true", "limits changed", "max_conns=7", "max_conns_before=0", "uid="); n != 1 {
		t.Errorf("%d audit lines though the level was warn, want 1", n)
	}
	if _, code := f.run("limits", "--max-conns", "1000000000"); code != 1 {
		t.Errorf("limits beyond the limit of open files: exit code %d, want 1", code)
	}
	if out, code := f.run("limits", "--max-conns", "8", "--max-buffered", "1KiB"); code != 1 {
		t.Errorf("limits with too low a bound of bytes: exit code %d, want 1; %s", code, out)
	}
	if out, _ := f.run("limits", "--json"); out != want {
		t.Errorf("a change that is refused has had an effect: %s", out)
	}
	lingertest.Wait(t, "the audit line of what was refused", func() bool {
		return f.stderr.count("audit=true", "change of limits refused", "uid=", "max_buffered=1024: it must be at least 1048576") == 1
	})
	if _, code := f.run("limits", "--log-level", "loud"); code != 1 {
		t.Errorf("limits with no level: exit code %d, want 1", code)
	}
	f.stop()
}

func TestConnectionsCommand(t *testing.T) {
	f := startFronted(t)
	ws, idle := dial(t, f.addr), dial(t, f.addr)
	if err := idle.roundTrip(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(ws, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if res, err := http.ReadResponse(ws.r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	out, code := f.run("connections")
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) != 5 || !strings.HasPrefix(lines[0], "ID  PEER") || lines[3] != "2 connections" {
		t.Errorf("connections: exit code %d\n%s", code, out)
	}
	if out, _ := f.run("connections", "--protocol", "websocket", "--path", "/ws"); !strings.Contains(out, ws.LocalAddr().String()) || !strings.Contains(out, "\n1 connection\n") {
		t.Errorf("the WebSocket:\n%s", out)
	}
	if out, code := f.run("connections", "--peer", "10.0.0.0/8", "--abort", "--yes"); code != 0 || out != "0 connections reset\n" {
		t.Errorf("--abort of none: exit code %d, %q", code, out)
	}
	// The close frame says 1012 (RFC 6455, section 7.4, and the registry of IANA).
	if out, code := f.run("connections", "--close", "--path", "/ws", "--yes"); code != 0 || out != "1 connection told to end\n" {
		t.Errorf("--close: exit code %d, %q", code, out)
	}
	frame := make([]byte, 4)
	if _, err := io.ReadFull(ws.r, frame); err != nil || frame[0] != 0x88 || int(frame[2])<<8|int(frame[3]) != 1012 {
		t.Errorf("the WebSocket reads % x, %v, want a close frame with 1012", frame, err)
	}
	if err := idle.roundTrip(); err != nil {
		t.Errorf("the other connection: %v", err)
	}
	f.stop()
}

func TestFrontUsage(t *testing.T) {
	dir := t.TempDir()
	token, open := filepath.Join(dir, "token"), filepath.Join(dir, "open")
	lingertest.Must(t, os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600))
	lingertest.Must(t, os.WriteFile(open, []byte("0123456789abcdef\n"), 0o644))
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"serve --health=9901", 2, "--health=9901: missing port"},
		{"serve --admin=127.0.0.1:9", 2, "add --admin-token-file FILE, or listen on unix:PATH"},
		{"serve --admin=0.0.0.0:9 --admin-token-file=" + token, 2, "--admin=0.0.0.0:9: it must be unix:PATH, or a loopback address"},
		{"serve --admin=unix: --addr=127.0.0.1:0", 2, "the path of a unix socket"},
		{"serve --admin=unix:/x --admin-token-file=" + token, 2, "a unix socket needs no token"},
		{"serve --admin-token-file=" + token, 2, "it is for --admin HOST:PORT"},
		{"serve --addr=127.0.0.1:9 --health=127.0.0.1:9", 2, "--addr has that address already"},
		{"serve --addr=127.0.0.1:0 --admin=127.0.0.1:0 --admin-token-file=" + open, 1, "chmod 600 " + open},
		{"serve --addr=127.0.0.1:0 --admin=unix:" + token, 1, "there is a file that is no socket"},
		{"serve --max-conns-per-client=-1", 2, "--max-conns-per-client=-1: it must be from 0"},
		{"serve --conn-rate-per-client=-1", 2, "--conn-rate-per-client=-1: it must be from 0"},
		{"serve --proxy-protocol", 2, "say by --trusted-proxies who is believed"},
		{"serve --trusted-proxies=10.0.0.0/8", 2, "add that"},
		{"serve --proxy-protocol --trusted-proxies=x", 2, "--trusted-proxies=x: it must be an address"},
		{"serve --log-level=loud", 2, `"loud"`},
		{"serve --access-log-format=xml", 2, `"xml"`},
		{"connections", 2, "--admin: say which server is meant"},
		{"drain --admin=unix:" + dir + "/none", 1, "there is no such socket"},
		{"drain --admin=127.0.0.1:9", 2, "it asks for a token: add --admin-token-file FILE"},
		{"connections --admin=unix:/x --abort --close", 2, "leave out one of them"},
		{"connections --admin=unix:/x --abort --top=peer", 2, "--top, --watch and --limit only look"},
		{"connections --admin=unix:/x --close --limit=3", 2, "--top, --watch and --limit only look"},
		{"connections --admin=unix:/x --yes", 2, "there is no question"},
		{"connections --admin=unix:/x --activity=lazy", 2, "--activity=lazy: linger:"},
		{"connections --admin=unix:/x --peer=lan", 2, "--peer=lan: it must be an address"},
		{"connections --admin=unix:/x --path=ws", 2, "--path=ws: it must be a path"},
		{"connections --admin=unix:/x --peer=", 2, "lacks a value"},
		{"limits --admin=unix:/x --max-buffered=1X", 2, "is no number of bytes"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			_, stderr, code := runCommand(strings.Fields(tc.args)...)
			if code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, want %d; stderr %q, want %q in it", code, tc.code, stderr, tc.want)
			}
		})
	}
}

// The socket is for its user alone, a second server does not take it, and one that was left behind is in nobody's way.
func TestAdminSocket(t *testing.T) {
	f := startFronted(t)
	path := strings.TrimPrefix(f.admin, "unix:")
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v, want mode 0600", fi.Mode(), err)
	}
	if _, stderr, code := runCommand("--addr", "127.0.0.1:0", "--admin", f.admin); code != 1 || !strings.Contains(stderr, "another process does") {
		t.Errorf("a second server: exit code %d, %q", code, stderr)
	}
	// A name that is misspelt picks nothing, rather than more than was meant.
	held := dial(t, f.addr)
	held.expectHello()
	resp, err := inside(f.admin).Post("http://admin/connections/abort?activity=idle&pear=192.0.2.1", "", nil)
	lingertest.Must(t, err)
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 400 || !strings.Contains(string(text), "pear: no condition is called that; there are peer, ") {
		t.Errorf("a name that is misspelt: %s, %s", resp.Status, text)
	}
	held.expectHello()
	f.signal(syscall.SIGKILL)
	f.exit(-1)
	again := start(t, "--admin", f.admin)
	f.process = again
	if _, code := f.run("connections"); code != 0 {
		t.Errorf("behind a socket that was left behind: exit code %d", code)
	}
	again.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestAdminToken(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	lingertest.Must(t, os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600))
	p := start(t, "--admin", "127.0.0.1:0", "--admin-token-file", token)
	var addr string
	lingertest.Wait(t, "the admin address", func() bool {
		for _, line := range p.stdout.lines() {
			if a, ok := strings.CutPrefix(line, "admin on "); ok {
				addr = a
			}
		}
		return addr != ""
	})
	for _, tc := range []struct {
		name, path string
		header     map[string]string
		want       int
	}{
		{"the page, which shows nothing", "/", nil, 200},
		{"no token", "/status", nil, 401},
		{"a wrong token", "/status", map[string]string{"Authorization": "Bearer 0123456789abcdeF"}, 401},
		{"the token", "/status", map[string]string{"Authorization": "Bearer 0123456789abcdef"}, 200},
		{"its own origin", "/status", map[string]string{"Authorization": "Bearer 0123456789abcdef", "Origin": "http://" + addr}, 200},
		{"another origin", "/status", map[string]string{"Authorization": "Bearer 0123456789abcdef", "Origin": "http://evil.example"}, 403},
		{"another name", "/status", map[string]string{"Authorization": "Bearer 0123456789abcdef", "Host": "evil.example"}, 421},
		{"another name for the page", "/", map[string]string{"Host": "evil.example:80"}, 421},
		{"localhost", "/status", map[string]string{"Authorization": "Bearer 0123456789abcdef", "Host": "localhost"}, 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+tc.path, nil)
		lingertest.Must(t, err)
		for k, v := range tc.header {
			req.Header.Set(k, v)
			if k == "Host" {
				req.Host = v
			}
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		lingertest.Must(t, err)
		_ = res.Body.Close()
		if res.StatusCode != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, res.StatusCode, tc.want)
		}
	}
	if _, stderr, code := runCommand("abort", "--admin", addr, "--admin-token-file", token); code != 0 {
		t.Errorf("abort: exit code %d, %s", code, stderr)
	}
	p.exit(0)
	if n := p.stderr.count("audit=true", "msg=abort", "remote=127.0.0.1:"); n != 1 {
		t.Errorf("%d audit lines, want 1", n)
	}
}

func TestReleaseByAdmin(t *testing.T) {
	f := startFronted(t)
	held := dial(t, f.addr)
	if err := held.roundTrip(); err != nil {
		t.Fatal(err)
	}
	type result struct {
		out  string
		code int
	}
	released := make(chan result, 1)
	go func() {
		out, code := f.run("release")
		released <- result{out, code}
	}()
	lingertest.Wait(t, "the port is given up", func() bool {
		c, err := net.Dial("tcp", f.addr.String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if _, code := f.run("handover"); code != 1 {
		t.Errorf("handover during a release: exit code %d, want 1", code)
	}
	if err := held.roundTrip(); err != nil {
		t.Errorf("the connection that is kept: %v", err)
	}
	_ = held.Close()
	if r := <-released; r.code != 0 || !strings.Contains(r.out, "by release") {
		t.Errorf("release: exit code %d, %s", r.code, r.out)
	}
	f.exit(0)
}

// During a handover both generations are seen, and the admin socket is the successor's.
func TestHandoverByAdmin(t *testing.T) {
	f := &fronted{t: t, admin: "unix:" + filepath.Join(t.TempDir(), "admin")}
	d := startDynasty(t, "--health", "127.0.0.1:0", "--admin", f.admin)
	f.process = d.process
	f.findHealthIn(&d.out)
	held := dial(t, f.addr)
	_, _ = io.WriteString(held, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if res, err := http.ReadResponse(held.r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	type result struct {
		out  string
		code int
	}
	handed := make(chan result, 1)
	go func() {
		out, code := f.run("handover")
		handed <- result{out, code}
	}()
	lingertest.Wait(t, "both generations are seen", func() bool {
		s := f.scrape()
		return s("state", "generation", "1", "state", "handover") == 1 && s("state", "generation", "2", "state", "serving") == 1
	})
	if s := f.scrape(); s("connections", "generation", "1") != 1 {
		t.Errorf("the predecessor holds %v connections, want 1", s("connections", "generation", "1"))
	}
	lingertest.Wait(t, "the admin socket is the successor's", func() bool {
		out, code := f.run("connections")
		return code == 0 && out == "0 connections\n"
	})
	_ = held.Close()
	if r := <-handed; r.code != 0 || !strings.Contains(r.out, "by handover") {
		t.Errorf("handover: exit code %d, %s", r.code, r.out)
	}
	d.exit(0)
	lingertest.Wait(t, "the predecessor is gone", func() bool { return f.scrape()("generation", "generation", "1") == 0 })
	if out, code := f.run("abort"); code != 0 {
		t.Errorf("abort of the successor: exit code %d, %s", code, out)
	}
}

func TestStatus(t *testing.T) {
	f := startFronted(t)
	held := dial(t, f.addr)
	if err := held.roundTrip(); err != nil {
		t.Fatal(err)
	}
	res, err := inside(f.admin).Get("http://x/events")
	lingertest.Must(t, err)
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	lingertest.Must(t, err)
	data, ok := strings.CutPrefix(line, "data: ")
	var s struct {
		State    string
		Held     int
		Accepted int
		Requests int
	}
	if err := json.Unmarshal([]byte(data), &s); !ok || err != nil || s.State != "serving" || s.Held != 1 || s.Accepted != 1 || s.Requests != 1 {
		t.Errorf("the first event: %q, %v", line, err)
	}
	f.stop() // and the stream does not hold it up
}

func TestAccessLogJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access")
	p := start(t, "--access-log", file, "--access-log-format", "json", "--proxy-protocol", "--trusted-proxies", "127.0.0.0/8")
	c := dial(t, p.addr)
	_, _ = fmt.Fprint(c, "PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
	if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	p.stop()
	b, err := os.ReadFile(file)
	lingertest.Must(t, err)
	var line struct {
		Remote      string
		Duration    float64 `json:"duration_ms"`
		Protocol    string
		Traceparent string
		Status      int
	}
	if err := json.Unmarshal(b, &line); err != nil || line.Remote != "192.0.2.7" || line.Duration <= 0 || line.Protocol != "HTTP/1.1" || line.Status != 200 ||
		line.Traceparent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
		t.Errorf("the line: %s, %v", b, err)
	}
}
