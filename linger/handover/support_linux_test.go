//go:build linux

package handover_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/handover"
)

func init() { programs["server"] = server }

// plan is what the program called server does. It is read from a file, which the next one finds changed.
type plan struct {
	Address string // to listen on
	Fail    string // how it fails, in place of being ready
	PIDFile string
	Timeout time.Duration
	Drain   time.Duration
	// LameDuck is as in linger.ListenConfig; zero is some time that is short.
	LameDuck time.Duration
	Chdir    string // where it goes when it has begun
	Tell     bool   // its descriptors and its environment, when it is ready
}

const planEnv = "HANDOVER_TEST_PLAN"

// server is a net/http server of one file that hands over: by SIGUSR2, by a request, and to whatever the plan says by then. On stdout it says
// what happens, a line each.
func server() {
	var p plan
	b, err := os.ReadFile(os.Getenv(planEnv))
	must(err)
	must(json.Unmarshal(b, &p))
	if p.Fail == "exit 0" {
		os.Exit(0)
	}
	h, err := handover.New(handover.Options{
		Signals: []os.Signal{syscall.SIGUSR2}, Timeout: p.Timeout, Drain: p.Drain, PIDFile: p.PIDFile,
		Listen: linger.ListenConfig{LameDuck: cmp.Or(p.LameDuck, 200*time.Millisecond)},
		Logger: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
	must(err)
	if p.Chdir != "" {
		must(os.Chdir(p.Chdir))
	}
	if p.Tell {
		tell()
	}
	fail(h, p.Fail)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		long, _ := time.ParseDuration(r.FormValue("for"))
		time.Sleep(long)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		if err := h.HandOver(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "success")
	})
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	err = h.Run(ctx, "tcp", p.Address, func(l *linger.Listener) handover.Server {
		srv := &http.Server{Handler: h.Handler(mux)}
		go srv.Serve(l)
		fmt.Println("serving", os.Getpid(), l.Addr())
		return srv
	})
	h.Fail(errors.Join(err))
	fmt.Println("ended", os.Getpid(), err)
	if err != nil {
		os.Exit(3)
	}
	os.Exit(0)
}

// fail makes a successor fail.
func fail(h *handover.Handover, how string) {
	switch how {
	case "":
	case "exit 1":
		os.Exit(1)
	case "says why":
		h.Fail(errors.New("the database is away"))
		os.Exit(1)
	case "panic":
		panic("a fault")
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "silent":
		h.Fail(errors.New("still loading"))
		time.Sleep(time.Hour)
	case "silent at all":
		time.Sleep(time.Hour)
	case "cannot bind":
		_, err := h.Listen("tcp", "192.0.2.1:1")
		fmt.Println("bind", os.Getpid(), err)
		os.Exit(1)
	case "PID file":
		return
	}
}

// tell prints the descriptors and the environment.
func tell() {
	names, err := os.ReadDir("/proc/self/fd")
	must(err)
	var fds []string
	for _, n := range names {
		if target, err := os.Readlink("/proc/self/fd/" + n.Name()); err == nil {
			kind, _, _ := strings.Cut(target, ":")
			fds = append(fds, n.Name()+"="+kind)
		}
	}
	env, err := os.ReadFile("/proc/self/environ")
	must(err)
	fmt.Printf("told %d %q %q\n", os.Getpid(), fds, strings.Split(strings.TrimSuffix(string(env), "\x00"), "\x00"))
}

func must(err error) {
	if err != nil {
		fmt.Println("failure", err)
		os.Exit(4)
	}
}

// line of servers, each of which the one before has started.
type line struct {
	t     *testing.T
	first *exec.Cmd
	plan  string // the file
	bin   string // their program file
	dir   string
	addr  netip.AddrPort
	said  chan string
	pids  []int // that have said that they serve; the last serves
	all   []string
	kept  []string // of them, those that nobody has asked for yet
}

// begin starts the first one.
func begin(t *testing.T, p plan, env ...string) *line {
	t.Helper()
	dir := t.TempDir()
	l := &line{t: t, plan: filepath.Join(dir, "plan"), bin: filepath.Join(dir, "server"), dir: dir, said: make(chan string, 10000)}
	l.replan(p)
	l.install()
	l.first = exec.Command("./server")
	l.first.Dir = dir
	l.start(l.first, env...)
	return l
}

// start starts cmd, and waits until it serves.
func (l *line) start(cmd *exec.Cmd, env ...string) {
	l.t.Helper()
	out, in, err := os.Pipe()
	lingertest.Must(l.t, err)
	cmd.Env = append(append(os.Environ(), programEnv+"=server", planEnv+"="+l.plan), env...)
	cmd.Stdout, cmd.Stderr = in, os.Stderr
	err = cmd.Start()
	in.Close()
	lingertest.Must(l.t, err)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer out.Close()
		defer close(l.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			l.said <- lines.Text()
		}
	})
	l.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		for _, pid := range l.pids[min(1, len(l.pids)):] {
			syscall.Kill(pid, syscall.SIGKILL) // they end with the last one that is waited for below
		}
		for s := range l.said {
			l.all = append(l.all, s)
		}
		reading.Wait()
		if l.t.Failed() {
			l.t.Logf("they said:\n%s", strings.Join(l.all, "\n"))
		}
	})
	l.serving()
}

// replan changes what the next one does.
func (l *line) replan(p plan) {
	if p.Address == "" {
		p.Address = "127.0.0.1:0"
	}
	b, err := json.Marshal(p)
	lingertest.Must(l.t, err)
	lingertest.Must(l.t, os.WriteFile(l.plan, b, 0o644))
}

// install puts a program file where they are started by, in the place of that which is there.
func (l *line) install() {
	own, err := os.ReadFile("/proc/self/exe")
	lingertest.Must(l.t, err)
	lingertest.InstallProgram(l.t, l.bin, own)
}

// next waits for a line that begins with the words, and returns what is behind them.
func (l *line) next(words string) string {
	l.t.Helper()
	timeout := time.After(lingertest.Patience)
	find := func(s string) (string, bool) {
		if rest, ok := strings.CutPrefix(s, words); ok {
			return strings.TrimPrefix(rest, " "), true
		}
		i := strings.Index(s, words)
		if i < 0 || !strings.HasPrefix(s, "time=") {
			return "", false
		}
		return s[i:], true
	}
	// Two processes speak, and which of them comes first is open.
	for i, s := range l.kept {
		if found, ok := find(s); ok {
			l.kept = slices.Delete(l.kept, i, i+1)
			return found
		}
	}
	for {
		select {
		case s, ok := <-l.said:
			if !ok {
				l.t.Fatalf("they ended, and did not say %q", words)
			}
			l.all = append(l.all, s)
			if found, ok := find(s); ok {
				return found
			}
			l.kept = append(l.kept, s)
		case <-timeout:
			l.t.Fatalf("waited %s for %q", lingertest.Patience, words)
		}
	}
}

// serving waits until the next one serves.
func (l *line) serving() int {
	l.t.Helper()
	pid, on, _ := strings.Cut(l.next("serving"), " ")
	n, err := strconv.Atoi(pid)
	lingertest.Must(l.t, err)
	addr, err := netip.ParseAddrPort(on)
	lingertest.Must(l.t, err)
	if l.addr.IsValid() && l.addr != addr {
		l.t.Fatalf("served is %s, want %s", addr, l.addr)
	}
	l.addr = addr
	l.pids = append(l.pids, n)
	return n
}

func (l *line) last() int { return l.pids[len(l.pids)-1] }

// signal sends sig to the one that serves.
func (l *line) signal(sig syscall.Signal) {
	l.t.Helper()
	lingertest.Must(l.t, syscall.Kill(l.last(), sig))
}

// get sends a request on a connection of its own, and returns who has answered.
func (l *line) get(path string) string {
	l.t.Helper()
	c := l.dial()
	defer c.Close()
	return c.get(path)
}

type client struct {
	net.Conn
	t    *testing.T
	r    *bufio.Reader
	last bool // the answer said so
}

func (l *line) dial() *client {
	l.t.Helper()
	c := lingertest.Dial(l.t, net.Dialer{}, l.addr)
	return &client{Conn: c, t: l.t, r: bufio.NewReader(c)}
}

func (c *client) send(method, path string) {
	c.t.Helper()
	_, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", method, path)
	lingertest.Must(c.t, err)
}

func (c *client) answer() string {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	lingertest.Must(c.t, err)
	b, err := io.ReadAll(r.Body)
	lingertest.Must(c.t, err)
	c.last = r.Close
	return string(b)
}

func (c *client) get(path string) string {
	c.t.Helper()
	c.send("GET", path)
	return c.answer()
}
