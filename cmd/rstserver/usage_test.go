package main

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestUsageErrors(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string // in the message
	}{
		{"--nope", "--nope"},
		{"nope", "nope"},
		{"serve nope", "nope"},
		{"serve --nope", "--nope"},
		{"--addr", "--addr"},
		{"--addr=", "--addr="},
		{"--addr=127.0.0.1", "--addr=127.0.0.1: missing port"},
		{"--addr=8080", "--addr=8080: missing port"},
		{"--addr=::1:80", "--addr=::1:80: too many colons"},
		{"--addr=[::1:80", "--addr=[::1:80: missing ']'"},
		{"--addr=[::zz]:80", "::zz is no IP address"},
		{"--addr=256.0.0.1:80", "256.0.0.1 is no IP address"},
		{"--addr=127.0.0.1:", "--addr=127.0.0.1:: the port"},
		{"--addr=127.0.0.1:http", "--addr=127.0.0.1:http: the port"},
		{"--addr=127.0.0.1:65536", "--addr=127.0.0.1:65536: the port"},
		{"--addr=127.0.0.1:-1", "--addr=127.0.0.1:-1: the port"},
		{"--loops=-1", "--loops=-1"},
		{"--loops=x", `--loops: expected a valid 64 bit int but got "x"`},
		{"--loops=1025", "--loops=1025: it must be from 0 to 1024"},
		{"--max-conns=-1", "--max-conns=-1"},
		{"--max-conns=1.5", "1.5"},
		{"--max-conns=2147483648", "--max-conns=2147483648"},
		{"--header-timeout=5", `--header-timeout: expected duration but got "5"`},
		{"--header-timeout=-1s", "--header-timeout=-1s"},
		{"--body-timeout=-1s", "--body-timeout=-1s"},
		{"--handler-timeout=-1s", "--handler-timeout=-1s"},
		{"--write-timeout=-1s", "--write-timeout=-1s"},
		{"--drain-spread=-1s", "--drain-spread=-1s: it must not be negative; 0 means none"},
		{"--drain-timeout=-1s", "--drain-timeout=-1s: it must not be negative; 0 means none"},
		{"--on-term=ignore", `"ignore"`},
		{"--max-handlers=-1", "--max-handlers=-1: it must be from 0"},
		{"--root=", "--root=: it must name a directory"},
		{"--process-field=", "--process-field=: it must name a field"},
		{"--process-field=a:b", "--process-field=a:b: it is no name of a field"},
		{"--access-log=", "--access-log=: it must name a file"},
		{"--idle-timeout=soon", `"soon"`},
		{"--idle-timeout=-1ns", "--idle-timeout=-1ns"},
		{"--max-header-bytes=0", "--max-header-bytes=0"},
		{"--max-header-bytes=64k", `"64k" is no number of bytes`},
		{"--max-body-bytes=-1", `--max-body-bytes: "-1" is no number of bytes`},
		{"--min-body-rate=-1", "--min-body-rate=-1: it must be from 0"},
		{"--min-write-rate=-1", "--min-write-rate=-1: it must be from 0"},
		{"--rate-grace=0s", "--rate-grace=0s: it must be more than 0, and 1h at the most"},
		{"--upgrade-idle-timeout=-1s", "--upgrade-idle-timeout=-1s: it must not be negative; 0 means none"},
		{"--max-buffered=12x", `--max-buffered: "12x" is no number of bytes; write it as 268435456, 256MiB or 1GiB`},
		{"--max-buffered=1023KiB", "--max-buffered=1047552: it must be at least 1MiB; 0 means no bound"},
		{"--max-buffered=-1", `"-1" is no number of bytes`},
		{"--max-buffered=", `"" is no number of bytes`},
		{"--max-buffered=9999999TiB", `"9999999TiB" is no number of bytes`},
		{"--shutdown-after=-10s", "--shutdown-after=-10s"},
		{"--log-format=xml", `"xml"`},
		{"--quiet=perhaps", `"perhaps"`},
		{"--handshake-timeout=-1s", "--handshake-timeout=-1s: it must not be negative; 0 means none"},
		{"--max-handshakes=0", "--max-handshakes=0: it must be from 1 to 2147483647"},
		{"--tls-cert=a", "--tls-cert=a: its private key is missing: add --tls-key FILE"},
		{"--tls-key=a", "--tls-key=a: the certificate that it belongs to is missing: add --tls-cert FILE"},
		{"--tls-cert= --tls-key=a", "--tls-cert=: it must name a file"},
		{"--tls-cert=a --tls-key=", "--tls-key=: it must name a file"},
		{"--tls-cert=a --tls-cert=b --tls-key=a", "--tls-cert is given 2 times and --tls-key 1 times: give each certificate its key"},
		{"--tls-self-signed --tls-cert=a --tls-key=b", "--tls-cert=a has one: leave out one of them"},
		{"--tls-self-signed --tls-key=b", "--tls-key=b has one: leave out one of them"},
		{"--tls-client-ca=", "--tls-client-ca=: it must name a file"},
		{"--tls-client-ca=a", "--tls-client-ca=a: only over TLS have clients a certificate: add --tls-cert"},
	} {
		for _, args := range []string{tc.args, "serve " + tc.args} {
			if strings.HasPrefix(args, "serve serve ") {
				continue
			}
			t.Run(args, func(t *testing.T) {
				stdout, stderr, code := runCommand(strings.Fields(args)...)
				command := "rstserver"
				if strings.HasPrefix(args, "serve ") {
					command = "rstserver serve"
				}
				expectUsage(t, stdout, stderr, code, command, tc.want)
			})
		}
	}
}

// expectUsage expects exit code 2, a message with want, and the command whose help to look at.
func expectUsage(t *testing.T, stdout, stderr string, code int, command, want string) {
	t.Helper()
	if code != exitUsage {
		t.Errorf("exit code = %d, want %d", code, exitUsage)
	}
	message, hint, _ := strings.Cut(stderr, "\n")
	if stdout != "" || !strings.HasPrefix(message, "rstserver: ") || !strings.Contains(message, want) || hint != "Try '"+command+" --help'.\n" {
		t.Errorf("stdout, stderr = %q, %q; want nothing, %q", stdout, stderr, want)
	}
}

// TestExit compares what the process says, and its exit code, with what run does.
func TestExit(t *testing.T) {
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"--help", exitOK, "Usage: rstserver [serve] [flags]", ""},
		{"--nope", exitUsage, "", "--nope"},
		{"free http", exitUsage, "", `port "http"`},
		{"bench --n=0", exitUsage, "", "--n=0"},
		{"--addr 192.0.2.1:80", exitFailed, "", "cannot listen on 192.0.2.1:80"},
	} {
		p := launchAs(t, exec.Command(binary, strings.Fields(tt.args)...))
		p.exit(tt.code)
		for what, s := range map[string][2]string{"stdout": {p.stdout.String(), tt.stdout}, "stderr": {p.stderr.String(), tt.stderr}} {
			if got, want := s[0], s[1]; !strings.Contains(got, want) || (want == "") != (got == "") {
				t.Errorf("%s: %s = %q, want %q", tt.args, what, got, want)
			}
		}
	}
}

func TestHelp(t *testing.T) {
	flags := strings.Fields(`--addr=HOST:PORT --loops=N --max-conns=N --header-timeout=D --idle-timeout=D --max-header-bytes=N
		--max-body-bytes=N --body-timeout=D --handler-timeout=D --write-timeout=D --max-handlers=N --root=DIR
		--tls-cert=FILE --tls-key=FILE --tls-client-ca=FILE --tls-self-signed --handshake-timeout=D --max-handshakes=N --http2=all|tls|none
		--drain-spread=D --drain-timeout=D --on-term=abort|drain --access-log=FILE|- --shutdown-after=D --no-arm --reuseport --sweep --log-conns --log-format=text|json --quiet`)
	for _, args := range [][]string{{"--help"}, {"-h"}, {"serve", "--help"}} {
		for _, columns := range []string{"", "60", "500"} {
			t.Run(strings.Join(args, " ")+" in "+columns, func(t *testing.T) {
				cmd := exec.Command(binary, args...)
				cmd.Env = append(cmd.Environ(), "COLUMNS="+columns)
				var stdout, stderr output
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Run(); err != nil || stderr.String() != "" {
					t.Errorf("%v, stderr = %q", err, stderr.String())
				}
				for _, flag := range flags {
					if !strings.Contains(stdout.String(), "   "+flag+" ") {
						t.Errorf("%s is not explained", flag)
					}
				}
				for _, line := range stdout.lines() {
					if len(line) > 100 {
						t.Errorf("line of %d columns: %s", len(line), line)
					}
				}
			})
		}
	}
}

// The help of every command fits the terminal.
func TestHelpFits(t *testing.T) {
	for _, command := range []string{"serve", "free", "bench", "connections", "limits", "drain", "release", "abort", "handover", "help"} {
		for _, columns := range []int{60, 80, 100, 200} {
			cmd := exec.Command(binary, command, "--help")
			cmd.Env = append(cmd.Environ(), "COLUMNS="+strconv.Itoa(columns))
			out, err := cmd.Output()
			if err != nil || len(out) == 0 {
				t.Errorf("%s --help: %v, %d bytes", command, err, len(out))
			}
			for line := range strings.Lines(string(out)) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
					t.Errorf("%s --help in %d columns has %d: %s", command, columns, n, line)
				}
			}
		}
	}
}

// TestSameFlags gives a bare rstserver what rstserver serve takes.
func TestSameFlags(t *testing.T) {
	flags := strings.Fields(`--addr=127.0.0.1:0 --loops=1 --max-conns=10 --header-timeout=1m --idle-timeout=1h30m --max-header-bytes=1000
		--handshake-timeout=1m --max-handshakes=10 --http2=tls --max-body-bytes=1000 --body-timeout=1m --handler-timeout=1m --write-timeout=1m --max-handlers=10 --root=.
		--drain-spread=1m --drain-timeout=1m --on-term=abort --access-log=/dev/null --shutdown-after=24h --no-arm --reuseport --sweep --log-conns --log-format=json --quiet`)
	spaced := strings.Fields(strings.ReplaceAll(strings.Join(flags, " "), "=", " "))
	for name, args := range map[string][]string{
		"bare":        flags,
		"serve":       append([]string{"serve"}, flags...),
		"bare spaced": spaced,
		"zeroes": strings.Fields("--loops=0 --max-conns=0 --handshake-timeout=0 --header-timeout=0s --idle-timeout=0 --max-body-bytes=0 --body-timeout=0 --handler-timeout=0 " +
			"--write-timeout=0 --max-handlers=0 --drain-timeout=0 --shutdown-after=0"),
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, args...)
			dial(t, p.addr).expectHello()
			p.stop()
		})
	}
}

func TestSuggestions(t *testing.T) {
	for args, want := range map[string]string{
		"frree":          "unexpected argument frree: did you mean free?",
		"bnech":          "did you mean bench?",
		"x":              "unexpected argument x: 'rstserver help' names the commands",
		"8080":           "unexpected argument 8080: did you mean --addr :8080?",
		"serve 8080":     "unexpected argument 8080: did you mean --addr :8080?",
		"serve 80800":    "unexpected argument 80800\n",
		"drain 8080":     "unexpected argument 8080\n",
		"free":           "a port is missing, such as 8080\n",
		"--prot 80":      "unknown flag --prot\n",
		"--port 80":      "unknown flag --port: did you mean --addr?",
		"--adr :80":      "did you mean --addr?",
		"free 80 --yse":  "did you mean --yes?",
		"bench --marks":  "unknown flag --marks\n",
		"--max-con 5":    "did you mean one of --max-conns, --max-conns-per-client?",
		"--drain-time 5": "did you mean --drain-timeout?",
	} {
		_, stderr, code := runCommand(strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d, %q, want %q", args, code, stderr, want)
		}
	}
}

func TestCalledAs(t *testing.T) {
	for path, want := range map[string]string{
		"rstserver":          "rstserver",
		"bin/rstserver":      "bin/rstserver",
		"/opt/my bin/server": "'/opt/my bin/server'",
		"./it's":             `'./it'\''s'`,
		"~/rstserver":        "'~/rstserver'",
	} {
		if got := calledAs(path); got != want {
			t.Errorf("calledAs(%q) = %s, want %s", path, got, want)
		}
	}
}

// TestHelpCommand names the commands with a line each, explains one, and tells the version.
func TestHelpCommand(t *testing.T) {
	stdout, stderr, code := runCommand("help")
	if code != exitOK || stderr != "" {
		t.Errorf("help = %d, %q", code, stderr)
	}
	for _, want := range []string{"\n  rstserver serve ", "\n  rstserver bench ", "\n  rstserver free ", "\n  rstserver --version "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("help lacks %q:\n%s", want, stdout)
		}
	}
	help, _, _ := runCommand("free", "--help")
	if stdout, _, code := runCommand("help", "free"); code != exitOK || stdout != help {
		t.Errorf("help free = %d:\n%s", code, stdout)
	}
	if stdout, _, code := runCommand("--version"); code != exitOK || !strings.HasPrefix(stdout, "rstserver ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("--version = %d, %q", code, stdout)
	}
}
