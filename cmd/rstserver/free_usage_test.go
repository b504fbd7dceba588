package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestFreeUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // in the message
	}{
		{"", "a port is missing"},
		{"http", `port "http": it has to be a number from 1 to 65535, a range such as 8080-8089, or an address with one`},
		{"0", `port "0"`},
		{"65536", `port "65536"`},
		{"-1", "-1"},
		{":http", `port ":http"`},
		{"8080 0", `port "0"`},
		{"8089-8080", `port "8089-8080"`},
		{"8080-", `port "8080-"`},
		{"1-65535", `port "1-65535": that is 65,535 ports, and at most 256 can be given at a time`},
		{"::1:8080", `port "::1:8080"`},
		{"192.0.2.1:8080", "192.0.2.1 is no address of this machine"},
		{"name.invalid:8080", "the host's address cannot be found"},
		{"127.0.0.1:8080 --local 127.0.0.1", "leave out --local"},
		{"8080 --signal KILL", "--signal=KILL: it is what --stop-owner sends"},
		{"8080 --stop-owner --signal KLL", "--signal=KLL: no signal is called that"},
		{"8080 --list --stop-owner", "--list touches nothing"},
		{"8080 --nope", "--nope"},
		{"8080 --yes=perhaps", `"perhaps"`},
		{"8080 --state", "--state"},
		{"8080 --state=half-open", "--state=half-open: no TCP state is called that"},
		{"8080 --state=unknown", "--state=unknown"},
		{"8080 --state=time-wait,", `--state: "time-wait," lacks a value`},
		{"8080 --state=", `--state: "" lacks a value`},
		{"8080 --local=,127.0.0.1", `--local: ",127.0.0.1" lacks a value`},
		{"8080 --state=listen", "--state=listen: a socket that listens"},
		{"8080 --state=time-wait,CLOSE", "--state=CLOSE: a socket that listens"},
		{"8080 --peer=localhost", "--peer=localhost: it must be an address such as"},
		{"8080 --peer=10.0.0.0/33", "--peer=10.0.0.0/33"},
		{"8080 --peer=10.0.0.1:80", "--peer=10.0.0.1:80"},
		{"8080 --peer=", `--peer: "" lacks a value`},
		{"8080 --local=10.0.0", "--local=10.0.0"},
		{"8080 --local=fe80::1%lo", "--local=fe80::1%lo"},
		{"8080 --idle=5", `--idle: expected duration but got "5"`},
		{"8080 --idle=-1s", "--idle=-1s"},
		{"8080 --queued=-1", "--queued=-1"},
		{"8080 --queued=1k", `"1k"`},
		{"8080 --process=", `--process: "" lacks a value`},
		{"8080 --wait=0s", "--wait=0s"},
		{"8080 --wait=-1s", "--wait=-1s"},
		{"8080 --addr=127.0.0.1:0", "--addr"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			for _, more := range []string{"", "--yes"} {
				stdout, stderr, code := runCommand(append([]string{"free"}, strings.Fields(tt.args+" "+more)...)...)
				expectUsage(t, stdout, stderr, code, "rstserver free", tt.want)
			}
		})
	}
}

func TestFreeHelp(t *testing.T) {
	flags := strings.Fields(`--yes --dry-run --list --signal=NAME --state=STATE,... --peer=NET,... --local=NET,... --idle=D --queued=N --process=NAME|PID,...
		--stop-owner --wait=D --json`)
	for _, columns := range []string{"", "60", "500"} {
		cmd := exec.Command(binary, "free", "--help")
		cmd.Env = append(cmd.Environ(), "COLUMNS="+columns)
		p := launch(t, cmd)
		p.exit(0)
		p.expectText(append(flags, "rstserver free <port> ... [flags]", "Exit codes: 0", "TCP ports of this machine", "A UDP port is another port")...)
	}
	var help output
	if code := run([]string{"--help"}, &help, &help); code != exitOK || !strings.Contains(help.String(), "rstserver free <port> ... [flags]") {
		t.Errorf("rstserver --help = %d and does not name 'rstserver free':\n%s", code, help.String())
	}
}
