package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBenchUsage(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "started")
	// A server that leaves a trace if it is started, in front of all that is wrong.
	before := []string{"bench", "--n", "1", "--runs", "1", "--server", "name=first,cmd=sh -c 'touch " + mark + "' {port}"}
	spec := func(s string) []string { return []string{"--server=" + s} }
	const command = "a shell is needed for that: cmd=sh -c '...'"
	for _, tt := range []struct {
		args []string
		want string // in the message
	}{
		{[]string{"nope"}, "unexpected argument nope"},
		{[]string{"--nope"}, "--nope"},
		{[]string{"--n=0"}, "--n=0: it has to be a number from 1 to 1,000,000"},
		{[]string{"--n=-1"}, "--n=-1"},
		{[]string{"--n=x"}, "--n=x: it has to be a number"},
		{[]string{"--n=1000001"}, "--n=1000001: it has to be a number from 1 to 1,000,000"},
		{[]string{"--n=99999999999999999999"}, "--n=99999999999999999999: it has to be a number"},
		{[]string{"--n=1,,2"}, `--n: "1,,2" lacks a value`},
		{[]string{"--n="}, `--n: "" lacks a value`},
		{[]string{"--n"}, "--n: missing value"},
		{[]string{"--n=2,10,2"}, "--n=2: it is there twice"},
		{[]string{"--runs=0"}, "--runs=0: it must be from 1 to 10,000"},
		{[]string{"--runs=-1"}, "--runs=-1"},
		{[]string{"--runs=10001"}, "--runs=10001: it must be from 1 to 10,000"},
		{[]string{"--runs=x"}, `--runs: expected a valid 64 bit int but got "x"`},
		{[]string{"--runs"}, "--runs: missing value"},
		{[]string{"--wire=-1"}, "--wire=-1: it must be from 0 to 10,000"},
		{[]string{"--wire=10001"}, "--wire=10001: it must be from 0 to 10,000"},
		{[]string{"--kind=foo"}, `--kind: "foo" is no kind of connection: idle, fresh, half,`},
		{[]string{"--kind="}, `--kind: "" is no kind of connection`},
		{[]string{"--kind=idle,fresh"}, "--kind: idle,fresh: each kind of a mix has a share: idle=80,in-flight=20"},
		{[]string{"--kind=idle=x,fresh=1"}, "--kind: idle=x: a share is a number from 1 to"},
		{[]string{"--kind=idle=0,fresh=1"}, "--kind: idle=0: a share is a number from 1 to"},
		{[]string{"--kind=idle=1,idle=2"}, "--kind: idle=1,idle=2: idle is there twice"},
		{[]string{"--kind=fresh", "--kind=fresh"}, "--kind=fresh: it is there twice"},
		{[]string{"--settle=-1s"}, "--settle=-1s: it must not be negative"},
		{[]string{"--hold=-1s"}, "--hold=-1s: it must not be negative"},
		{[]string{"--settle=soon"}, `"soon"`},
		{[]string{"--timeout=0"}, "--timeout=0s: it must be more than 0"},
		{[]string{"--timeout=-1s"}, "--timeout=-1s: it must be more than 0"},
		{[]string{"--late=0"}, "--late=0s: it must be more than 0"},
		{[]string{"--peers=foo"}, `--peers: "foo" is no server to compare with: all, default,`},
		{[]string{"--peers=floor,foo"}, "nginx-quit"},
		{[]string{"--peers=none,floor"}, `--peers: "none"`},
		{[]string{"--peers="}, `--peers: "" lacks a value`},
		{[]string{"--restart="}, `--restart=: "" is no step of a restart: steps are signal=SIGNAL, stop=SIGNAL, start and exec=COMMAND`},
		{[]string{"--restart=graceful"}, `--restart=graceful: "graceful" is no step of a restart`},
		{[]string{"--restart=signal=NOPE"}, "signal=NOPE: no signal is called that; TERM, INT,"},
		{[]string{"--restart=exec=a 'b"}, "exec=a 'b: it needs a command"},
		{[]string{"--restart=own"}, "--restart=own: a server of --server has no way of its own"},
		{[]string{"--restart=signal=HUP", "--restarts=0"}, "--restarts=0: it must be from 1 to 1,000"},
		{[]string{"--restart=signal=HUP", "--rate=0"}, "--rate=0: it must be more than 0, and 100,000 at the most"},
		{[]string{"--restart=signal=HUP", "--rate=NaN"}, "--rate=NaN: it must be more than 0"},
		{[]string{"--restart=signal=HUP", "--window=0"}, "--window=0s: it must be more than 0"},
		{[]string{"--restart=signal=HUP", "--n=1,2"}, "--n: with --restart it is one number, of clients"},
		{[]string{"--restart=signal=HUP", "--kind=fresh"}, `--kind: "fresh" is no kind of connection: get, post, in-flight, upload, idle, websocket`},
		{[]string{"--restart=signal=HUP", "--kind=post"}, "no server has a path for post clients"},
		{[]string{"--restart=signal=HUP", "--kind=get", "--kind=idle"}, "--kind: with --restart it is given once"},
		{[]string{"--restart=signal=HUP", "--wire=1"}, "--restart: --wire is about something else, and has no effect with it: leave it out"},
		{[]string{"--restart=signal=HUP", "--peers=floor"}, `--peers: "floor" is no server to compare with`},
		{[]string{"--restart=signal=HUP", "--tls"}, "--restart: --tls is about something else, and has no effect with it: leave it out"},
		{[]string{"--kind=h2"}, "--kind=h2: h2 connections are over TLS alone: --tls has them be"},
		{[]string{"--kind=idle=1,handshake=1"}, "handshake connections are over TLS alone: --tls has them be"},
		{[]string{"--tls", "--kind=idle=1,unread=1"}, "--kind=idle=1,unread=1: unread connections cannot be measured over TLS"},
		{[]string{"--tls", "--kind=full"}, "full connections cannot be measured over TLS"},
		{[]string{"--tls", "--broadcast"}, "--broadcast is not measured over TLS: leave out --tls"},
		{[]string{"--tls", "--echo"}, "--echo is not measured over TLS: leave out --tls"},
		{[]string{"--broadcast", "--echo"}, "--echo and --broadcast are two measurements"},
		{[]string{"--stalled", "1"}, "it has an effect with --broadcast only"},
		{[]string{"--broadcast", "--stalled=-1"}, "--stalled=-1: it must be from 0"},
		{[]string{"--broadcast", "--bytes", "0"}, "--bytes=0: it must be from 1"},
		{[]string{"--broadcast", "--kind", "sse", "--bytes", "7"}, "--bytes=7: it must be from 8"},
		{[]string{"--echo", "--bytes", "2000000"}, "--bytes=2000000: it must be from 1 to 1,048,576"},
		{[]string{"--rate=5"}, "--rate is about restarts: it has an effect with --restart only"},
		{[]string{"--json="}, "--json=: it must name a file, or - for stdout"},
		{[]string{"--html="}, "--html=: it must name a file, or - for stdout"},
		{[]string{"--markdown="}, "--markdown=: it must name a file, or - for stdout"},
		{[]string{"--json=-", "--html=-"}, "--html=-: stdout has --json already; name a file"},
		{[]string{"--html=-", "--markdown=-"}, "--markdown=-: stdout has --html already; name a file"},
		{[]string{"--json=" + dir + "/no/x"}, "--json: open " + dir + "/no/x: no such file or directory"},
		{[]string{"--html=" + dir}, "--html: open " + dir + ": is a directory"},
		{[]string{"--json=" + dir + "/made", "--markdown=" + dir + "/no/x"}, "--markdown: open "},
		{[]string{"--json=" + dir + "/made", "--html=" + dir + "/./made"}, "--html: " + dir + "/./made is what --json writes; name another file"},
		{[]string{"--from=" + dir + "/no", "--runs=5"}, "--from: nothing is measured with it, so --runs has no effect: leave it out"},
		{[]string{"--from=" + dir + "/no", "--server=cmd=a {port}"}, "so --server has no effect"},
		{[]string{"--from=" + dir + "/no", "--wire=1"}, "so --wire has no effect"},
		{[]string{"--from=" + dir + "/no", "--tls"}, "so --tls has no effect"},
		{[]string{"--from="}, "--from=: it must name a file"},
		{[]string{"--from=" + dir + "/no"}, "--from: open " + dir + "/no: no such file or directory"},

		{spec(""), `--server: "" begins with none of the keys: name=NAME,cmd=COMMAND[,`},
		{spec("./server {port}"), `--server: "./server {port}" begins with none of the keys`},
		{spec("name=x"), `--server: "name=x" has no cmd=COMMAND`},
		{spec("name=x,cmd="), "has no cmd=COMMAND"},
		{spec("name=x,cmd=a"), "--server: cmd=a: it lacks {port}"},
		{spec("cmd=a {port},cmd=b {port}"), "has cmd= twice"},
		{spec("name=first,cmd=a {port}"), `--server: two servers are called "first": give this one another name=`},
		{spec("name=floor,cmd=a {port}"), `two servers are called "floor"`},
		{spec("cmd=a {port},signal=NOPE"), "--server: signal=NOPE: no signal is called that; TERM, INT,"},
		{spec("cmd=a {port},signal=99"), "signal=99"},
		{spec("cmd=a {port},signal="), "signal="},
		{spec("cmd=a,port=0"), "port=0: it has to be a number from 1 to 65535"},
		{spec("cmd=a,port=http"), "port=http"},
		{spec("cmd=a {port},path="), "path=: a path begins with /"},
		{spec("cmd=a {port},path=x"), "path=x: a path begins with /"},
		{spec("cmd=a {port},late=/a b"), "late=/a b: a path begins with / and has no spaces"},
		{spec(`cmd=a "{port}`), `--server: cmd=a "{port}: a quote is not closed`},
		{spec(`cmd=a '{port}`), "a quote is not closed"},
		{spec(`cmd=a {port} \`), `nothing is behind the last \`},
		{spec("cmd=a {port} | tee b"), "--server: cmd=a {port} | tee b: | is for a shell; " + command},
		{spec("cmd=a {port} && b"), "& is for a shell; " + command},
		{spec("cmd=a {port} &"), "& is for a shell; " + command},
		{spec("cmd=a {port}; b"), "; is for a shell; " + command},
		{spec("cmd=a {port} > b"), "> is for a shell; " + command},
		{spec("cmd=a {port} 2>&1"), "> is for a shell; " + command},
		{spec("cmd=a <b {port}"), "< is for a shell; " + command},
		{spec("cmd=(a {port})"), "( is for a shell; " + command},
		{spec("cmd=a $(b) {port}"), "$( is for a shell; " + command},
		{spec(`cmd=a "$(b)" {port}`), "$( is for a shell; " + command},
		{spec("cmd=a `b` {port}"), "` is for a shell; " + command},
		{spec("cmd=a $HOME {port}"), "$H is for a shell; " + command},
		{spec(`cmd=a "${HOME}" {port}`), "${ is for a shell; " + command},
		{spec("cmd=PORT={port} ./a"), "--server: cmd=PORT={port} ./a: PORT={port} is no program; cmd=env PORT={port} ... starts one with that variable"},
		{spec("cmd=a {port},tls=--x; b"), "--server: tls=--x; b: ; is for a shell"},
		{spec("cmd=a {port},share=--x; b"), "--server: share=--x; b: ; is for a shell"},
	} {
		name := strings.ReplaceAll(strings.Join(tt.args, " "), dir, "DIR")
		t.Run(name, func(t *testing.T) {
			args := append(slices.Clone(before), tt.args...)
			if strings.HasPrefix(tt.args[0], "--from") { // which goes with none of those
				args = append([]string{"bench"}, tt.args...)
			}
			stdout, stderr, code := runCommand(args...)
			expectUsage(t, stdout, stderr, code, "rstserver bench", tt.want)
			if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) > 0 {
				t.Errorf("%q are there: a server was started, or a file made that nothing is written to", left)
				for _, name := range left {
					_ = os.Remove(name)
				}
			}
		})
	}
	t.Run("nothing to measure", func(t *testing.T) {
		stdout, stderr, code := runCommand("bench", "--peers", "none")
		expectUsage(t, stdout, stderr, code, "rstserver bench", "--peers=none: there is nothing to measure; --server names a server")
	})
}

// TestBenchCommandWords: a command is taken apart as a shell does, and whatever only a shell can do is an error.
func TestBenchCommandWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                             nil,
		"a b":                          {"a", "b"},
		"  a\tb\n":                     {"a", "b"},
		"a ''":                         {"a", ""},
		`a "b c" 'd e'`:                {"a", "b c", "d e"},
		`a b"c d"e`:                    {"a", "bc de"},
		`a \"b\ c`:                     {"a", `"b c`},
		`a "it's"`:                     {"a", "it's"},
		`a 'say "x"'`:                  {"a", `say "x"`},
		`sh -c 'a | b && c; d > $e'`:   {"sh", "-c", "a | b && c; d > $e"},
		`a "b;c|d&e<f>g(h)"`:           {"a", "b;c|d&e<f>g(h)"},
		`a \; \| \& \$x`:               {"a", ";", "|", "&", "$x"},
		`a "\$x" ^b$ $`:                {"a", "$x", "^b$", "$"},
		`a "b\nc\td" 'b\nc'`:           {"a", `b\nc\td`, `b\nc`},
		`a b\nc`:                       {"a", "bnc"},
		`a "\\" "\"" "\x"`:             {"a", `\`, `"`, `\x`},
		"a *.go ~/b {port} [c] d=e #f": {"a", "*.go", "~/b", "{port}", "[c]", "d=e", "#f"},
		"a bücher":                     {"a", "bücher"},
	} {
		got, err := commandWords(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("commandWords(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
}
