//go:build linux

// Package clients has WebSocket clients and event streams of others talk to rstserver, straight and through proxies, and be told in a drain.
package clients

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is a time in which nothing takes its time, so that something hangs.
const patience = 2 * time.Minute

// need returns a program, and skips the test where there is none, unless RSTSERVER_DEPS is 1.
func need(t *testing.T, name, remedy string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, fmt.Sprintf("%s is missing: %s", name, remedy))
	}
	return path
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("RSTSERVER_DEPS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// program is one that runs until the end of the test.
type program struct {
	cmd   *exec.Cmd
	lines chan string // of what it prints; closed at its end
}

func start(t *testing.T, dir, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(name, args...), lines: make(chan string, 1000)}
	p.cmd.Dir = dir
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			select {
			case p.lines <- s.Text():
			default: // more than anybody waits for
			}
		}
	}()
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		_ = w.Close()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-ended
	})
	return p
}

// expect waits for a line with that in it, and returns it.
func (p *program) expect(t *testing.T, want string) string {
	t.Helper()
	var all []string
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s ended and has not printed %q, but %q", p.cmd.Path, want, all)
			}
			if strings.Contains(line, want) {
				return line
			}
			all = append(all, line)
		case <-timeout:
			t.Fatalf("%s has not printed %q, but %q", p.cmd.Path, want, all)
		}
	}
}

// client is one, and what it is started by.
type client struct {
	name  string
	start func(t *testing.T, addr string) *program
}

var clients = []client{
	{"python websockets", func(t *testing.T, addr string) *program { return python(t, "websockets", "websockets_client.py", addr) }},
	{"autobahn", func(t *testing.T, addr string) *program { return python(t, "autobahn", "autobahn_client.py", addr) }},
	{"npm ws", func(t *testing.T, addr string) *program {
		return start(t, modules, need(t, "node", "install Node"), "ws_client.js", "ws://"+addr+"/ws")
	}},
	{"Chromium", func(t *testing.T, addr string) *program {
		return browse(t, addr, "page.html")
	}},
}

// browse has Chromium open a page.
func browse(t *testing.T, addr, page string) *program {
	chromium := need(t, "chromium", "make clients, or apt-get install chromium")
	return start(t, "", chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--remote-debugging-port=0",
		"--user-data-dir="+t.TempDir(), "http://"+addr+"/files/"+page)
}

func python(t *testing.T, module, script, addr string) *program {
	const program = "/usr/bin/python3" // of Debian, as its packages are
	if exec.Command(program, "-c", "import "+module).Run() != nil {
		missing(t, "Python's "+module+" is missing: make clients, or apt-get install python3-"+module)
	}
	return start(t, "testdata", program, script, "ws://"+addr+"/ws")
}

var (
	command string // the path of rstserver
	modules string // a folder with the npm packages ws and eventsource
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "clients-*")
	if err != nil {
		panic(err)
	}
	command, modules = filepath.Join(dir, "rstserver"), filepath.Join(dir, "node")
	build := exec.Command("go", "build", "-o", command, "./cmd/rstserver")
	build.Dir = "../../../.."
	err = os.Mkdir(modules, 0o755)
	for _, name := range []string{"ws_client.js", "eventsource_client.js"} {
		var script []byte
		if err == nil {
			script, err = os.ReadFile(filepath.Join("testdata", name))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(modules, name), script, 0o644)
		}
	}
	install := exec.Command("npm", "install", "--no-save", "--silent", "ws@8.18.3", "eventsource@4.0.0")
	install.Dir = modules
	for _, cmd := range []*exec.Cmd{build, install} {
		if err != nil {
			break
		}
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		err = cmd.Run()
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the tests:", err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// front returns the address by which clients reach the server, through a proxy.
type front struct {
	name  string
	start func(t *testing.T, addr string) string
}

var fronts = []front{
	{"straight", func(_ *testing.T, addr string) string { return addr }},
	{"through nginx", func(t *testing.T, addr string) string {
		return nginx(t, addr, "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;")
	}},
	{"through HAProxy", func(t *testing.T, addr string) string {
		haproxy := need(t, "haproxy", "make deps, or apt-get install haproxy")
		own := freePort(t)
		conf := fmt.Sprintf("defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n timeout tunnel 1h\n"+
			"frontend f\n bind %s\n default_backend b\nbackend b\n server s %s\n", own, addr)
		return proxy(t, own, haproxy, t.TempDir(), conf, "-db", "-f")
	}},
}

// nginx starts it with more of what is said of its proxy.
func nginx(t *testing.T, addr, more string) string {
	nginx := need(t, "nginx", "make deps, or apt-get install nginx")
	dir, own := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`daemon off; pid %s/pid; error_log stderr; events {}
http { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
server { listen %[2]s; location / { proxy_pass http://%[3]s; proxy_set_header Host $http_host; %[4]s } } }
`, dir, own, addr, more)
	return proxy(t, own, nginx, dir, conf, "-p", dir, "-c")
}

// proxy starts one with a configuration, whose file is the last argument, and waits until it listens.
func proxy(t *testing.T, own, name, dir, conf string, args ...string) string {
	t.Helper()
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, name, append(args, file)...)
	for deadline := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", own)
		if err == nil {
			_ = c.Close()
			return own
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s has ended", name)
			}
			t.Log(line)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Each client gets its messages back, and learns by 1001, cleanly, that the server goes.
func TestClients(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short no programs of others are run; make interop runs them")
	}
	for _, f := range fronts {
		for _, c := range clients {
			t.Run(c.name+", "+f.name, func(t *testing.T) {
				root, err := filepath.Abs("testdata")
				if err != nil {
					t.Fatal(err)
				}
				s := start(t, "", command, "serve", "--addr", "127.0.0.1:0", "--root", root, "--drain-timeout", "1m")
				_, addr, _ := strings.Cut(s.expect(t, "listening on "), "http://")
				p := c.start(t, f.start(t, addr))
				p.expect(t, "echoed")
				if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
					t.Fatal(err)
				}
				if line := p.expect(t, "closed "); !strings.Contains(line, "closed 1001") {
					t.Errorf("the client says %q, want 1001", line)
				}
				s.expect(t, "1 closed in order")
				s.expect(t, "left, ours        none")
			})
		}
	}
}
