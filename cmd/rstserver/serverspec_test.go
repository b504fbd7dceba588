package main

import (
	"reflect"
	"syscall"
	"testing"

	"rstserver/bench"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
)

func TestParseServer(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want bench.Server
	}{
		{"the least", "cmd=./a {port}", bench.Server{Name: "./a", Command: []string{"./a", "{port}"}, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/"}}},
		{
			"everything",
			"name=my server,cmd=./a --addr=127.0.0.1:{port},signal=usr1,path=/ok?a=1,late=/late/{ms},large=/large,stream=/s,upgrade=/u,protocol=echo,share=--share --all,tls=-c {cert} -k {key}",
			bench.Server{
				Name: "my server", Command: []string{"./a", "--addr=127.0.0.1:{port}"}, Signal: syscall.SIGUSR1, Share: []string{"--share", "--all"},
				TLS:   []string{"-c", "{cert}", "-k", "{key}"},
				Paths: kinds.Paths{Get: "/ok?a=1", Late: "/late/{ms}", Large: "/large", Stream: "/s", Upgrade: "/u", Protocol: "echo"},
			},
		},
		{"TLS in any case", "cmd=./a {port},tls=", bench.Server{Name: "./a", Command: []string{"./a", "{port}"}, TLS: []string{}, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/"}}},
		{"a successor", "cmd=./a {port},successor=", bench.Server{Name: "./a", Command: []string{"./a", "{port}"}, Successor: true, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/"}}},
		{
			"commas in values", "cmd=./a {port} --with=x,y,z,name=a, b",
			bench.Server{Name: "a, b", Command: []string{"./a", "{port}", "--with=x,y,z"}, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/"}},
		},
		{"a port of its own", "cmd=./a,port=8080", bench.Server{Name: "./a", Command: []string{"./a"}, Port: 8080, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/"}}},
		{"spaces at keys", "cmd=./a {port}, name=b", bench.Server{Name: "b", Command: []string{"./a", "{port}"}, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/"}}},
		{
			"an upgrade is to WebSocket", "cmd=./a {port},upgrade=/ws",
			bench.Server{Name: "./a", Command: []string{"./a", "{port}"}, Signal: syscall.SIGTERM, Paths: kinds.Paths{Get: "/", Upgrade: "/ws", Protocol: "websocket"}},
		},
		{"a signal's number", "signal=9,cmd={port}", bench.Server{Name: "{port}", Command: []string{"{port}"}, Signal: syscall.SIGKILL, Paths: kinds.Paths{Get: "/"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Role = report.Peer
			got, err := parseServer(tt.in)
			if got.Share != nil && len(got.Share) == 0 {
				got.Share = nil
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parseServer(%q) = %+v, %v, want %+v", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseServerErrors(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"cmd=./a {port},successor=yes", []string{"successor=yes", "it has no value"}},
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
			got, err := parseServer(tt.in)
			if !reflect.DeepEqual(got, bench.Server{}) {
				t.Errorf("parseServer(%q) = %+v with an error", tt.in, got)
			}
			lingertest.ExpectError(t, err, tt.want...)
		})
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "quit": syscall.SIGQUIT, "sigusr2": syscall.SIGUSR2, "15": syscall.SIGTERM, "1": syscall.SIGHUP,
	} {
		if got, err := bench.ParseSignal(in); got != want || err != nil {
			t.Errorf("bench.ParseSignal(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "SIG", "0", "-1", "99", "TERMINATE", "SIGSIGTERM"} {
		got, err := bench.ParseSignal(in)
		if got != 0 {
			t.Errorf("bench.ParseSignal(%q) = %v", in, got)
		}
		lingertest.ExpectError(t, err, "signal="+in+":", "KILL")
	}
}
