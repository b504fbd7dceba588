//go:build linux

package handover_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// A request that restarts is answered with success, and the next one by the successor.
func TestRestart(t *testing.T) {
	l := begin(t, plan{})
	for range 3 {
		before := l.last()
		c := l.dial()
		if got := c.get("/"); got != strconv.Itoa(before) || c.last {
			t.Fatalf("the answer is %q, the last one: %v; want %d, false", got, c.last, before)
		}
		c.send("POST", "/restart")
		if got := c.answer(); got != "success" || !c.last {
			t.Fatalf("the answer is %q, the last one: %v; want success, true", got, c.last)
		}
		c.Close()
		got := l.get("/")
		if l.serving(); got != strconv.Itoa(l.last()) {
			t.Errorf("the next answer is of %s, want that of the successor, %d", got, l.last())
		}
		l.next(fmt.Sprintf("ended %d <nil>", before))
	}
}

// Whatever a successor fails by, the predecessor goes on, says why, and can try again at once.
func TestFailure(t *testing.T) {
	occupied := filepath.Join(t.TempDir(), "directory")
	if err := os.Mkdir(occupied, 0o755); err != nil {
		t.Fatal(err)
	}
	l := begin(t, plan{Timeout: lingertest.Patience})
	fine := plan{Address: "127.0.0.1:0"}
	for _, test := range []struct {
		how  string
		plan plan
		file func() // what happens to the program file
		want string
	}{
		{"exit 0", plan{Fail: "exit 0"}, nil, "has ended with exit status 0 and has not said why"},
		{"exit 1", plan{Fail: "exit 1"}, nil, "has ended with exit status 1 and has not said why"},
		{"says why", plan{Fail: "says why"}, nil, "has ended with exit status 1: the database is away"},
		{"panic", plan{Fail: "panic"}, nil, "has ended with exit status 2"},
		{"killed", plan{Fail: "killed"}, nil, "has ended with signal: killed"},
		{"cannot bind", plan{Fail: "cannot bind"}, nil, "has ended with exit status 1: handover: listen tcp 192.0.2.1:1: bind: cannot assign requested address"},
		{"PID file", plan{Address: "127.0.0.1:0", PIDFile: occupied}, nil, "is a directory"},
		{"the file is gone", fine, func() { os.Remove(l.bin) }, "the program file is gone"},
		{"the file may not be executed", fine, func() { l.install(); os.Chmod(l.bin, 0o644) }, "is not a program"},
		{"the file is none", fine, func() { os.WriteFile(l.bin, []byte("what"), 0o755); os.Chmod(l.bin, 0o755) }, "exec format error"},
	} {
		t.Run(test.how, func(t *testing.T) {
			l.t = t
			l.replan(test.plan)
			if test.file != nil {
				test.file()
			}
			c := l.dial()
			if got := c.get("/"); c.last || got != strconv.Itoa(l.last()) {
				t.Errorf("before: answer %q, the last one: %v", got, c.last)
			}
			l.signal(syscall.SIGUSR2)
			if got := l.next("the handover failed"); !strings.Contains(got, test.want) {
				t.Errorf("the reason is %s, want it to contain %s", got, test.want)
			}
			if got := c.get("/"); c.last || got != strconv.Itoa(l.last()) {
				t.Errorf("after: answer %q, the last one: %v", got, c.last)
			}
		})
	}
	l.t = t
	l.install()
	l.replan(fine)
	l.signal(syscall.SIGUSR2)
	l.serving()
}

// A successor that is not ready in its time is killed.
func TestSilence(t *testing.T) {
	for _, how := range []string{"silent", "silent at all"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := begin(t, plan{Timeout: 3 * time.Second})
			l.replan(plan{Fail: how})
			l.signal(syscall.SIGUSR2)
			got := l.next("the handover failed")
			// On a busy machine it may not have come to saying something.
			nothing, something := strings.Contains(got, "has said nothing for 3s; it was killed"), strings.Contains(got, "it was killed; before, it has said: still loading")
			if !nothing && (!something || how == "silent at all") {
				t.Errorf("the reason is %s", got)
			}
			if got := l.get("/"); got != strconv.Itoa(l.last()) {
				t.Errorf("the answer is of %s, want %d", got, l.last())
			}
		})
	}
}
