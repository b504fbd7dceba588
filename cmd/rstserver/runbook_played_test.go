package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
)

// scene is a situation of the runbook: a server that is in it, and what the runbook says to do.
type scene struct {
	*fronted
	commands []string // of its section, in their order
	swap     *strings.Replacer
	before   string // what is scraped before it comes to that
	sights   *sights
}

// do runs the section's next command, which is to succeed and say want.
func (s *scene) do(want string) {
	s.t.Helper()
	if len(s.commands) == 0 {
		s.t.Fatalf("the runbook has no command that says %q", want)
	}
	args := strings.Fields(s.swap.Replace(s.commands[0]))
	s.commands = s.commands[1:]
	if slices.Contains(args, "--abort") || slices.Contains(args, "--close") {
		args = append(args, "--yes")
	}
	if out, code := s.run(args[1:]...); code != 0 || !strings.Contains(out, want) {
		s.t.Errorf("%q: exit code %d, want 0 and %q\n%s", args, code, want, out)
	}
}

// see scrapes what the situation looks like. If there were so many times as many connections, and all that is counted happened so many
// times in each second, these alerts would fire, and no others.
func (s *scene) see(times int, alerts ...string) {
	s.t.Helper()
	_, after := get(s.t, s.health+"/metrics")
	s.sights.add(s.before, after, times, alerts)
}

// dialFrom is dial from an address of this machine.
func dialFrom(t testing.TB, from string, addr netip.AddrPort) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: lingertest.Patience}
	c, err := d.Dial("tcp", addr.String())
	lingertest.Must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return newClient(t, c)
}

func (c *client) upgrade(path, protocol string) {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, protocol)
	if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 101 {
		c.t.Fatalf("%s: %v, %v", path, res, err)
	}
}

// situations are those of the runbook, by a word of their headings, with what stands for the runbook's examples here.
var situations = []struct {
	heading string
	args    []string // of serve
	start   func(t testing.TB, args []string) *fronted
	swap    []string
	play    func(s *scene)
}{
	{"RstserverManyConnections", []string{"--max-conns-per-client", "3"}, nil, []string{"192.0.2.7", "127.0.0.7"}, func(s *scene) {
		other := dial(s.t, s.addr)
		other.expectHello()
		var theirs []*client
		for range 3 {
			c := dialFrom(s.t, "127.0.0.7", s.addr)
			c.expectHello()
			theirs = append(theirs, c)
		}
		for range 2 { // they may be reset before connect returns
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.7")}, Timeout: lingertest.Patience}
			if c, err := d.Dial("tcp", s.addr.String()); err == nil {
				newClient(s.t, c).expectReset()
				_ = c.Close()
			}
		}
		lingertest.Wait(s.t, "both are refused", func() bool { return s.scrape()("connections_refused_total", "reason", "client_connections") == 2 })
		s.see(3000, "RstserverManyConnections", "RstserverClientRefused")
		s.do("127.0.0.7")
		s.do("3 connections")
		s.do("3 connections reset")
		for _, c := range theirs {
			c.expectReset()
		}
		other.expectHello()
	}},
	{"RstserverDescriptorsShort", nil, limited, []string{"1m", "1ms", "8000", "50"}, func(s *scene) {
		var all []*client
		lingertest.Wait(s.t, "accepting pauses", func() bool {
			all = append(all, dial(s.t, s.addr))
			return s.scrape()("accepting") == 0
		})
		all[0].expectHello()
		inside := inside(s.admin)
		lingertest.Wait(s.t, "others take what is left", func() bool {
			res, err := inside.Get("http://x/events")
			lingertest.Must(s.t, err)
			s.t.Cleanup(func() { _ = res.Body.Close() })
			m := s.scrape()
			return m("file_descriptors_available") < 0.1*m("file_descriptors_max")-3 // which come and go with those who ask
		})
		s.see(1, "RstserverDescriptorsShort", "RstserverNotAccepting")
		s.do("\n")
		s.do("told to end")
		if _, err := all[0].r.ReadByte(); err == nil {
			s.t.Error("a connection that is to be closed has data")
		}
		s.do("50")
		if n := s.scrape()("connections_max"); n != 50 {
			s.t.Errorf("the bound is %v, want 50", n)
		}
	}},
	{"RstserverNotAccepting", []string{"--max-conns", "2"}, nil, []string{"20000", "100", "30s", "1ms"}, func(s *scene) {
		dial(s.t, s.addr).expectHello()
		silent := dial(s.t, s.addr)
		lingertest.Wait(s.t, "both are there", func() bool { return s.scrape()("connections") == 2 })
		waits := dial(s.t, s.addr)
		lingertest.Wait(s.t, "one waits", func() bool { return s.scrape()("listener_queue_connections") == 1 })
		s.see(1, "RstserverNotAccepting")
		s.do("2")
		s.do("100")
		waits.expectHello()
		s.do("1 connection reset")
		silent.expectReset()
	}},
	{"RstserverMemoryNearBound", []string{"--max-buffered", "32MiB"}, nil, []string{"10s", "1ms"}, func(s *scene) {
		const part = 4 << 20
		content := make([]byte, part)
		over := 0
		lingertest.Wait(s.t, "memory is near its bound", func() bool {
			if over == 0 {
				c := dialSlow(s.t, s.addr)
				c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", part)
				_, err := c.Write(content)
				lingertest.Must(s.t, err)
			}
			if m := s.scrape(); m("buffered_bytes") > 0.75*m("buffered_max_bytes") {
				over++
			} else {
				over = 0
			}
			return over == 3
		})
		s.see(1, "RstserverMemoryNearBound")
		s.do("connection")
		s.do("reset")
		lingertest.Wait(s.t, "there is room", func() bool { m := s.scrape(); return m("buffered_bytes") < 0.25*m("buffered_max_bytes") })
		s.do("1073741824")
	}},
	{"RstserverDrainStuck", nil, nil, nil, func(s *scene) {
		socket, hijacked, slow := dial(s.t, s.addr), dial(s.t, s.addr), dial(s.t, s.addr)
		socket.upgrade("/ws", "websocket")
		hijacked.upgrade("/upgrade", "echo")
		slow.send("GET /slow?ms=86400000 HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(s.t, "all are there", func() bool { return s.scrape()("handlers_running") >= 1 && s.scrape()("connections") == 3 })
		drained := make(chan int, 1)
		go func() {
			_, code := s.run("drain")
			drained <- code
		}()
		lingertest.Wait(s.t, "a drain is under way", func() bool { return s.scrape()("state", "state", "drain") == 1 })
		s.see(1, "RstserverDrainStuck")
		s.do("3 connections")
		s.do("2 connections told to end")
		for _, c := range []*client{socket, hijacked} { // a close frame, and FIN
			_, _ = io.ReadFull(c.r, make([]byte, 4))
			_ = c.Close()
		}
		lingertest.Wait(s.t, "they are gone", func() bool { return s.scrape()("connections") == 1 })
		s.do("0 connections reset") // they are young
		s.do("by drain: nothing")
		slow.expectReset()
		if code := <-drained; code != 0 {
			s.t.Errorf("the drain: exit code %d", code)
		}
		s.exit(0)
	}},
	{"RstserverHandoverStuck", nil, succeeded, nil, func(s *scene) {
		held := dial(s.t, s.addr)
		held.upgrade("/upgrade", "echo")
		handed := make(chan int, 1)
		go func() {
			_, code := s.run("handover")
			handed <- code
		}()
		lingertest.Wait(s.t, "both generations are seen", func() bool {
			m := s.scrape()
			return m("generation", "generation", "1") == 1 && m("generation", "generation", "2") == 2
		})
		s.see(1, "RstserverHandoverStuck")
		out, err := exec.Command("sh", "-c", s.commands[0]).Output()
		if pid := strconv.Itoa(s.cmd.Process.Pid); err != nil || !slices.Contains(strings.Fields(string(out)), pid) {
			s.t.Errorf("%s: %v, want %s among\n%s", s.commands[0], err, pid, out)
		}
		if !strings.HasPrefix(s.commands[1], "kill -TERM ") {
			s.t.Errorf("the runbook has %q", s.commands[1])
		}
		s.commands = s.commands[2:]
		s.signal(syscall.SIGTERM)
		held.expectReset()
		<-handed
		s.exit(0)
		dial(s.t, s.addr).expectHello()
		if out, code := s.run("abort"); code != 0 {
			s.t.Errorf("abort: exit code %d, %s", code, out)
		}
	}},
	{"RstserverReconnectStorm", []string{"--max-conns", "1"}, activated, []string{"5000", "100"}, func(s *scene) {
		dial(s.t, s.addr).expectHello()
		var dialled sync.WaitGroup
		for range 8 {
			dialled.Go(func() { dial(s.t, s.addr).expectHello() })
		}
		lingertest.Wait(s.t, "the queue overflows", func() bool { return s.scrape()("listener_dropped_total") > 0 })
		s.see(600, "RstserverReconnectStorm", "RstserverNotAccepting")
		s.do("100")
		dialled.Wait()
		if len(s.commands) != 1 || !strings.HasPrefix(s.commands[0], "sysctl ") {
			s.t.Errorf("the runbook goes on with %q", s.commands)
		}
		if out, err := exec.Command("sh", "-c", s.commands[0]).CombinedOutput(); err != nil {
			s.t.Errorf("%s: %v\n%s", s.commands[0], err, out)
		}
		s.commands = nil
	}},
	{"RstserverTimeouts", []string{"--header-timeout", "20s"}, nil, []string{"192.0.2.0/24", "127.0.0.7", "1m", "1ms"}, func(s *scene) {
		dial(s.t, s.addr).expectHello()
		slow := dial(s.t, s.addr)
		slow.send("GET")
		late := dialFrom(s.t, "127.0.0.7", s.addr)
		late.send("GET")
		lingertest.Wait(s.t, "both have begun", func() bool { return s.scrape()("connections", "activity", "receiving") == 2 })
		s.do("127.0.0.7")
		s.do("1 connection reset")
		late.expectReset()
		lingertest.Wait(s.t, "time is up", func() bool { return s.scrape()("connections_ended_total", "end", "timed_out") == 1 })
		s.see(2, "RstserverTimeouts")
	}},
	{"RstserverHandlersWait", []string{"--max-handlers", "1"}, nil, nil, func(s *scene) {
		first, second := dial(s.t, s.addr), dial(s.t, s.addr)
		first.send("GET /slow?ms=15000 HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(s.t, "it runs", func() bool { return s.scrape()("handlers_running") == 1 })
		second.send("GET /slow?ms=0 HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(s.t, "another waits", func() bool { return s.scrape()("handlers_waiting") == 1 })
		s.see(1, "RstserverHandlersWait")
		s.do("/slow")
		for _, c := range []*client{first, second} {
			if r, _ := c.response("GET"); r.StatusCode != 200 {
				s.t.Errorf("it answers %s", r.Status)
			}
		}
		second.send("BREW / HTTP/1.1\r\nHost: x\r\n\r\n")
		if r, _ := second.response("BREW"); r.StatusCode != 501 {
			s.t.Errorf("it answers %s, want 501", r.Status)
		}
		s.see(1, "RstserverSlow", "RstserverErrors")
		s.do("DEBUG")
		dial(s.t, s.addr).expectHello()
		lingertest.Wait(s.t, "it says more", func() bool { return s.stderr.count("level=DEBUG") > 0 })
	}},
	{"RstserverProxyHeader", []string{"--proxy-protocol", "--trusted-proxies", "127.0.0.1"}, nil, nil, func(s *scene) {
		c := dial(s.t, s.addr)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expectReset()
		lingertest.Wait(s.t, "the log names the proxy", func() bool { return s.stderr.count(c.LocalAddr().String()) > 0 })
		s.see(1, "RstserverProxyHeader")
	}},
	{"Taking an instance out", []string{"--drain-delay", "10s"}, nil, nil, func(s *scene) {
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			s.do("by drain: nothing")
		}()
		lingertest.Wait(s.t, "/readyz is 503", func() bool { status, _ := get(s.t, s.health+"/readyz"); return status == 503 })
		<-drained
		s.exit(0)
	}},
}

func limited(t testing.TB, args []string) *fronted {
	f := &fronted{t: t, admin: "unix:" + filepath.Join(t.TempDir(), "admin")}
	f.process = startLimited(t, "120", append(args, "--health", "127.0.0.1:0", "--admin", f.admin)...)
	f.findHealth()
	return f
}

func succeeded(t testing.TB, args []string) *fronted {
	f := &fronted{t: t, admin: "unix:" + filepath.Join(t.TempDir(), "admin")}
	d := startDynasty(t, append(args, "--health", "127.0.0.1:0", "--admin", f.admin)...)
	f.process = d.process
	f.findHealthIn(&d.out)
	return f
}

// activated has a socket of systemd's kind, with a short queue.
func activated(t testing.TB, args []string) *fronted {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	socket := os.NewFile(uintptr(fd), "socket")
	defer socket.Close()
	lingertest.Must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	lingertest.Must(t, syscall.Listen(fd, 2))
	f := &fronted{t: t, admin: "unix:" + filepath.Join(t.TempDir(), "admin")}
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh", binary, "--addr=fd:",
		"--health", "127.0.0.1:0", "--admin", f.admin}, args...)...)
	cmd.ExtraFiles = []*os.File{socket}
	f.process = startOnce(t, cmd)
	f.findHealth()
	return f
}

// Each situation of the runbook is brought about. It looks in the metrics as the runbook says, Prometheus would say so, and what the runbook
// says to do has the effect that it says.
func TestRunbookPlayed(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile(runbookFile)
	lingertest.Must(t, err)
	sections := strings.Split(string(runbook), "\n## ")[1:]
	seen := &sights{}
	t.Run("situations", func(t *testing.T) {
		for _, situation := range situations {
			i := slices.IndexFunc(sections, func(s string) bool {
				heading, _, _ := strings.Cut(s, "\n")
				return strings.Contains(heading, situation.heading)
			})
			if i < 0 {
				t.Fatalf("the runbook has no section about %s", situation.heading)
			}
			section := sections[i]
			sections = slices.Delete(slices.Clone(sections), i, i+1)
			t.Run(situation.heading, func(t *testing.T) {
				t.Parallel()
				start := situation.start
				if start == nil {
					start = func(t testing.TB, args []string) *fronted { return startFronted(t, args...) }
				}
				s := &scene{fronted: start(t, situation.args), swap: strings.NewReplacer(situation.swap...), sights: seen}
				for line := range strings.Lines(section) {
					if command, ok := strings.CutPrefix(line, "    "); ok {
						command, _, _ = strings.Cut(command, "#")
						s.commands = append(s.commands, strings.TrimSpace(command))
					}
				}
				_, s.before = get(t, s.health+"/metrics")
				if situation.play(s); len(s.commands) > 0 {
					t.Errorf("what the runbook says was not done: %q", s.commands)
				}
			})
		}
	})
	if len(sections) != 1 || !strings.HasPrefix(sections[0], "Afterwards") {
		t.Errorf("the runbook has sections that were not played: %q", sections)
	}
	if !t.Failed() {
		seen.fire(t)
	}
}

// sights are what situations look like to Prometheus. Its methods may be called by any goroutine.
type sights struct {
	mu  sync.Mutex
	all []sight
}

type sight struct {
	series []string // in promtool's words, with a step of ten seconds, as in most of them that Prometheus scrapes
	alerts []string
}

func (s *sights) add(before, after string, times int, alerts []string) {
	line := regexp.MustCompile(`(?m)^(rstserver_\w+)(?:\{(.*)\})? (\S+)$`)
	was := make(map[string]float64)
	for _, m := range line.FindAllStringSubmatch(before, -1) {
		was[m[1]+m[2]], _ = strconv.ParseFloat(m[3], 64)
	}
	var one sight
	one.alerts = alerts
	for _, m := range line.FindAllStringSubmatch(after, -1) {
		value, _ := strconv.ParseFloat(m[3], 64)
		labels := strings.TrimPrefix(m[2]+`,instance="a"`, ",")
		if m[1] == "rstserver_connections" {
			value *= float64(times)
		}
		steps := fmt.Sprintf("%gx150", value) // a gauge
		if strings.HasSuffix(m[1], "_total") || strings.HasSuffix(m[1], "_bucket") || strings.HasSuffix(m[1], "_count") {
			steps = fmt.Sprintf("0+%gx150", 10*float64(times)*(value-was[m[1]+m[2]]))
		}
		one.series = append(one.series, fmt.Sprintf("      - {series: '%s{%s}', values: '%s'}\n", m[1], labels, steps))
	}
	s.mu.Lock()
	s.all = append(s.all, one)
	s.mu.Unlock()
}

// fire checks by Prometheus' own tool that the rules say of each just what is to be said.
func (s *sights) fire(t *testing.T) {
	promtool := debian.Program(t, "promtool", "prometheus")
	rules, err := filepath.Abs(alertsFile)
	lingertest.Must(t, err)
	var file bytes.Buffer
	fmt.Fprintf(&file, "rule_files: [%s]\nevaluation_interval: 10s\ntests:\n", rules)
	fired := make(map[string]bool)
	for _, one := range s.all {
		fmt.Fprintf(&file, "  - interval: 10s\n    input_series:\n%s    promql_expr_test:\n", strings.Join(one.series, ""))
		// On a machine that is busy every situation is slow, and memory can come so near to its bound that a request gets 503.
		leaveOut := slices.DeleteFunc([]string{"RstserverSlow", "RstserverErrors"}, func(alert string) bool { return slices.Contains(one.alerts, alert) })
		fmt.Fprintf(&file, "      - expr: count by (alertname) (ALERTS{alertstate=\"firing\", alertname!~\"%s\"})\n        eval_time: 24m\n        exp_samples:\n", strings.Join(leaveOut, "|"))
		for _, alert := range one.alerts {
			fired[alert] = true
			fmt.Fprintf(&file, "          - {labels: '{alertname=\"%s\"}', value: 1}\n", alert)
		}
	}
	name := filepath.Join(t.TempDir(), "test.yml")
	lingertest.Must(t, os.WriteFile(name, file.Bytes(), 0o644))
	if out, err := exec.Command(promtool, "test", "rules", name).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	all, err := os.ReadFile(alertsFile)
	lingertest.Must(t, err)
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(all), -1) {
		if !fired[m[1]] {
			t.Errorf("no situation is one of which %s tells", m[1])
		}
	}
}
