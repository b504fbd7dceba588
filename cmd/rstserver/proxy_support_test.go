package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
)

// subnet stands for 10.0.0.0/24 of the files in deploy. It is of the loopback interface's addresses, from which no client's port is ever
// chosen: a server that has ended finds its port free when it is started again.
type subnet string

func newSubnet() subnet { return subnet(fmt.Sprintf("127.%d.%d.", 64+rand.N(64), rand.N(256))) }

func (n subnet) in(text string) string { return strings.ReplaceAll(text, "10.0.0.", string(n)) }

// proxyFile is the text of a proxy's file in deploy.
func proxyFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("deploy/" + name)
	lingertest.Must(t, err)
	return string(b)
}

// startProxy starts a proxy with a configuration, that of nginx or that of HAProxy, and waits until it listens. It returns HAProxy, or nil.
func startProxy(t testing.TB, config string, cert tls.Certificate) *haproxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // short, as a unix socket's path is
	lingertest.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	file, admin := filepath.Join(dir, "config"), filepath.Join(dir, "admin")
	var cmd *exec.Cmd
	var listens func() bool // nobody connects to look, as a connection may be passed on
	nginx := strings.Contains(config, "events {}")
	if nginx {
		program := debian.Program(t, "nginx", "nginx")
		if modules, _ := filepath.Glob("/etc/nginx/modules-enabled/*-mod-stream.conf"); strings.Contains(config, "\nstream {") && modules == nil {
			debian.Missing(t, "nginx's stream module is missing: make deps installs it, or apt-get install libnginx-mod-stream")
		}
		// It is to write nothing elsewhere, and to serve whoever runs this.
		own := "http {\n    access_log off;\n"
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			own += fmt.Sprintf("    %s_temp_path %s;\n", kind, filepath.Join(dir, kind))
		}
		config = strings.Replace(config, "http {\n", own, 1)
		cmd = exec.Command(program, "-c", file, "-g", fmt.Sprintf("daemon off; master_process off; pid %s/pid; error_log stderr;", dir))
		listens = func() bool {
			_, err := os.Stat(filepath.Join(dir, "pid"))
			return err == nil
		}
	} else {
		config = strings.Replace(config, "/run/haproxy/admin.sock", admin, 1)
		cmd = exec.Command(debian.Program(t, "haproxy", "haproxy"), "-db", "-q", "-f", file)
		listens = func() bool {
			conn, err := net.Dial("unix", admin)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}
	}
	if own := regexp.MustCompile(`/etc/\w+/rstserver\.pem`); own.MatchString(config) {
		both := filepath.Join(dir, "both.pem")
		certificate, key := pemOf(t, cert)
		lingertest.Must(t, os.WriteFile(both, append(certificate, key...), 0o600))
		config = own.ReplaceAllString(config, both)
	}
	lingertest.Must(t, os.WriteFile(file, []byte(config), 0o600))
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	lingertest.Must(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(lingertest.Patience, func() { _ = cmd.Process.Kill() })
		<-ended
		killed.Stop()
		if t.Failed() {
			t.Logf("%q: %s", cmd.Args, strings.TrimSpace(out.String()))
		}
	})
	lingertest.Wait(t, "the proxy listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%q has ended: %s", cmd.Args, out.String())
		default:
		}
		return listens()
	})
	if nginx {
		return nil
	}
	return &haproxy{t, admin}
}

// haproxy is one that runs, steered by its socket.
type haproxy struct {
	t     testing.TB
	admin string // a unix socket
}

// tell has HAProxy do something, and returns what it says.
func (h *haproxy) tell(command string) string {
	conn, err := net.Dial("unix", h.admin)
	if err != nil {
		h.t.Errorf("%s: %v", command, err)
		return ""
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, command+"\n")
	b, err := io.ReadAll(conn)
	if err != nil {
		h.t.Errorf("%s: %s, %v", command, b, err)
	}
	return string(b)
}

// status is what HAProxy thinks of a server of a file: UP, DOWN, or something in between.
func (h *haproxy) status(i int) string {
	for line := range strings.Lines(h.tell("show stat")) {
		if fields := strings.Split(line, ","); len(fields) > 17 && fields[1] == serverNames[i] {
			return fields[17]
		}
	}
	return ""
}

// deployed are three servers behind a proxy, as a file of deploy has it.
type deployed struct {
	t testing.TB
	subnet
	text    string   // of the file
	args    []string // of the first server
	servers [3]*process
	proxy   *haproxy    // nil if it is another
	trusts  *tls.Config // of a client that takes the certificate of whoever is to show one: the proxy, or the servers
}

// serverNames are what HAProxy calls them.
var serverNames = [3]string{"one", "two", "three"}

// serverArgs are those of the first server, as a proxy's file says.
var serverArgs = regexp.MustCompile(`(?m)^#\trstserver (serve .+)$`)

// deploy starts them, with more arguments. Changes are pairs of what stands in the file, and what is to stand there.
func deploy(t testing.TB, file string, changes []string, more ...string) *deployed {
	t.Helper()
	// How long a look may take is for a machine that has nothing else to do.
	d := &deployed{t: t, subnet: newSubnet(), text: strings.Replace(proxyFile(t, file), "timeout check 1s", "timeout check 1m", 1)}
	for i := 0; i < len(changes); i += 2 {
		d.text = strings.ReplaceAll(d.text, changes[i], changes[i+1])
	}
	args := serverArgs.FindStringSubmatch(d.text)
	if args == nil {
		t.Fatalf("%s does not say how a server is started", file)
	}
	own, servers := issue(t, nil, "test"), issue(t, nil, "test")
	files := put(t, servers)
	d.trusts = trusting("test", own)
	if strings.Contains(args[1], "--tls-cert") {
		d.trusts = trusting("test", servers)
	}
	// The proxy connects from 127.0.0.1, whatever it listens on.
	d.args = append(strings.Fields(strings.NewReplacer("fullchain.pem", files.cert, "privkey.pem", files.key,
		"--trusted-proxies 10.0.0.10", "--trusted-proxies 127.0.0.1").Replace(args[1])), more...)
	for i := range d.servers {
		d.start(i)
	}
	d.proxy = startProxy(t, d.in(d.text), own)
	return d
}

// start starts a server, and waits until it serves.
func (d *deployed) start(i int) {
	d.t.Helper()
	cmd := exec.Command(binary)
	for _, arg := range d.args {
		cmd.Args = append(cmd.Args, d.in(strings.ReplaceAll(arg, "10.0.0.11:", fmt.Sprintf("10.0.0.1%d:", i+1))))
	}
	d.servers[i] = startOnce(d.t, cmd)
}

// secure is the address at which the proxy has clients with TLS, and plain without, if it has such.
func (d *deployed) secure() string { return d.in("10.0.0.10:8443") }
func (d *deployed) plain() string  { return d.in("10.0.0.10:8000") }

// scrape returns the metrics of a server that has --health where the files have it.
func (d *deployed) scrape(i int) samples {
	d.t.Helper()
	return (&fronted{t: d.t, health: d.in(fmt.Sprintf("http://10.0.0.1%d:9900", i+1))}).scrape()
}
