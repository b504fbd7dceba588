//go:build linux

package bench

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rstserver/bench/report"
	"rstserver/internal/lingertest"
)

// words takes a command line apart at spaces.
func words(s string) ([]string, error) {
	if strings.Contains(s, `"`) {
		return nil, errors.New("a quote is not closed")
	}
	return strings.Fields(s), nil
}

func TestParseServer(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want Server
	}{
		{"the least", "cmd=./a {port}", Server{Name: "./a", Command: []string{"./a", "{port}"}, Signal: syscall.SIGTERM, Paths: Paths{Get: "/"}}},
		{
			"everything",
			"name=my server,cmd=./a --addr=127.0.0.1:{port},signal=usr1,path=/ok?a=1,late=/late/{ms},large=/large,stream=/s,upgrade=/u,protocol=echo,share=--share --all",
			Server{
				Name: "my server", Command: []string{"./a", "--addr=127.0.0.1:{port}"}, Signal: syscall.SIGUSR1, Share: []string{"--share", "--all"},
				Paths: Paths{Get: "/ok?a=1", Late: "/late/{ms}", Large: "/large", Stream: "/s", Upgrade: "/u", Protocol: "echo"},
			},
		},
		{
			"commas in values", "cmd=./a {port} --with=x,y,z,name=a, b",
			Server{Name: "a, b", Command: []string{"./a", "{port}", "--with=x,y,z"}, Signal: syscall.SIGTERM, Paths: Paths{Get: "/"}},
		},
		{"a port of its own", "cmd=./a,port=8080", Server{Name: "./a", Command: []string{"./a"}, Port: 8080, Signal: syscall.SIGTERM, Paths: Paths{Get: "/"}}},
		{"spaces at keys", "cmd=./a {port}, name=b", Server{Name: "b", Command: []string{"./a", "{port}"}, Signal: syscall.SIGTERM, Paths: Paths{Get: "/"}}},
		{
			"an upgrade is to WebSocket", "cmd=./a {port},upgrade=/ws",
			Server{Name: "./a", Command: []string{"./a", "{port}"}, Signal: syscall.SIGTERM, Paths: Paths{Get: "/", Upgrade: "/ws", Protocol: "websocket"}},
		},
		{"a signal's number", "signal=9,cmd={port}", Server{Name: "{port}", Command: []string{"{port}"}, Signal: syscall.SIGKILL, Paths: Paths{Get: "/"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Role = report.Peer
			got, err := ParseServer(tt.in, words)
			if got.Share != nil && len(got.Share) == 0 {
				got.Share = nil
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseServer(%q) = %+v, %v, want %+v", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseServerErrors(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"", []string{`"" begins with none of the keys`, "cmd=COMMAND"}},
		{"./a {port}", []string{`"./a {port}" begins with none of the keys`, "cmd=COMMAND"}},
		{"name=a", []string{`"name=a" has no cmd=COMMAND`}},
		{"cmd=", []string{"has no cmd=COMMAND"}},
		{"cmd=./a", []string{"cmd=./a: it lacks {port}", "port=N"}},
		{"cmd=./a {port},cmd=./b", []string{"cmd= twice"}},
		{`cmd=./a "{port}`, []string{`cmd=./a "{port}: a quote is not closed`}},
		{`cmd=./a {port},share="`, []string{`share=": a quote is not closed`}},
		{"cmd=./a,port=0", []string{"port=0: it has to be a number from 1 to 65535"}},
		{"cmd=./a,port=65536", []string{"port=65536"}},
		{"cmd=./a,port=http", []string{"port=http"}},
		{"cmd=./a {port},signal=STOPIT", []string{"signal=STOPIT", "TERM"}},
		{"cmd=./a {port},path=", []string{"path=: a path begins with /"}},
		{"cmd=./a {port},path=ok", []string{"path=ok: a path begins with /"}},
		{"cmd=./a {port},late=/a b", []string{"late=/a b", "has no spaces"}},
		{"cmd=./a {port},upgrade=ws://x", []string{"upgrade=ws://x"}},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseServer(tt.in, words)
			if !reflect.DeepEqual(got, Server{}) {
				t.Errorf("ParseServer(%q) = %+v with an error", tt.in, got)
			}
			lingertest.ExpectError(t, err, tt.want...)
		})
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "quit": syscall.SIGQUIT, "sigusr2": syscall.SIGUSR2, "15": syscall.SIGTERM, "1": syscall.SIGHUP,
	} {
		if got, err := ParseSignal(in); got != want || err != nil {
			t.Errorf("ParseSignal(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "SIG", "0", "-1", "99", "TERMINATE", "SIGSIGTERM"} {
		got, err := ParseSignal(in)
		if got != 0 {
			t.Errorf("ParseSignal(%q) = %v", in, got)
		}
		lingertest.ExpectError(t, err, "signal="+in+":", "KILL")
	}
}

func TestPick(t *testing.T) {
	roster := NewRoster("/bin/rstserver", "peers", "make peers")
	names := func(servers []Server) (all []string) {
		for _, s := range servers {
			all = append(all, s.Name)
		}
		return all
	}
	if got, err := roster.Pick([]string{AllServers}); len(got) != len(roster) || err != nil {
		t.Errorf("%d of %d, %v", len(got), len(roster), err)
	}
	// In the roster's order, and each once.
	got, err := roster.Pick([]string{"nethttp-close", "floor", "nethttp", "floor"})
	if want := []string{"floor", "net/http Close", "net/http Shutdown", "net/http map + SetLinger(0)"}; !slices.Equal(names(got), want) || err != nil {
		t.Errorf("got %q, %v, want %q", names(got), err, want)
	}
	got, err = roster.Pick([]string{"floor", "flor"})
	if got != nil {
		t.Errorf("got %q", names(got))
	}
	lingertest.ExpectError(t, err, `"flor" is no server to compare with`, "floor-linger")
	known := roster.Names()
	for i, name := range known {
		if slices.Contains(known[:i], name) {
			t.Errorf("%s is there twice", name)
		}
		if got, err := roster.Pick([]string{name}); len(got) == 0 || err != nil {
			t.Errorf("Pick(%s) = %q, %v", name, names(got), err)
		}
	}
	// Each has a name of its own, and can be told its port.
	for i, k := range roster {
		if slices.ContainsFunc(roster[:i], func(other Known) bool { return other.Key == k.Key || other.Name == k.Name }) {
			t.Errorf("%s, %s is there twice", k.Key, k.Name)
		}
		if !slices.ContainsFunc(k.Command, func(a string) bool { return strings.Contains(a, "{port}") }) || k.Signal == 0 {
			t.Errorf("%s: %q by %v", k.Key, k.Command, k.Signal)
		}
	}
}
