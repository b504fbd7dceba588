package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
)

// writeDocs returns a directory with what the command says of itself.
func writeDocs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if out, stderr, code := runCommand("docs", dir); code != 0 || out != "" {
		t.Fatalf("docs = %d, %s%s", code, out, stderr)
	}
	return dir
}

// There is a page for each command, without a fault, and it says what the help says.
func TestManPages(t *testing.T) {
	mandoc := debian.Program(t, "mandoc", "mandoc")
	dir := filepath.Join(writeDocs(t), "man")
	pages := []string{"rstserver.1"}
	for _, c := range commands {
		pages = append(pages, "rstserver-"+c+".1")
	}
	entries, err := os.ReadDir(dir)
	lingertest.Must(t, err)
	if len(entries) != len(pages) {
		t.Errorf("there are %d pages, want %d", len(entries), len(pages))
	}
	for _, page := range pages {
		// No date, as the same program is to have the same pages.
		out, _ := exec.Command(mandoc, "-T", "lint", "-W", "warning", filepath.Join(dir, page)).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "missing date") {
				t.Error(line)
			}
		}
	}
	shown, err := exec.Command(mandoc, "-T", "utf8", "-O", "width=1000", filepath.Join(dir, "rstserver-free.1")).Output()
	lingertest.Must(t, err)
	help, _, _ := runCommand("free", "--help")
	page := words(strings.NewReplacer("‐", "-", "_\b", "", "\b", "").Replace(doubled(string(shown))))
	for _, want := range []string{
		"rstserver-free - Say what is on local TCP ports", "-y, --yes", "--peer=NET,...", "rstserver-serve(1)",
		"SOCK_DESTROY, for which it needs CAP_NET_ADMIN", "A socket that listens keeps its port whatever is done to it",
	} {
		if !strings.Contains(page, words(want)) {
			t.Errorf("%q is not in rstserver-free(1):\n%s", want, page)
		}
	}
	for _, line := range strings.Split(help, "\n") {
		if flag, _, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(flag, "--") && !strings.Contains(page, flag) {
			t.Errorf("%s is not in rstserver-free(1)", flag)
		}
	}
}

// doubled is text of a terminal from which letters that are struck twice, which is bold, were taken away.
func doubled(s string) string {
	var b []rune
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		if i+2 < len(runes) && runes[i+1] == '\b' {
			i++
			continue
		}
		b = append(b, runes[i])
	}
	return string(b)
}

// Shells complete with what was written for them.
func TestCompletions(t *testing.T) {
	dir := filepath.Join(writeDocs(t), "completions")
	lingertest.Must(t, os.WriteFile(filepath.Join(dir, "a file"), nil, 0o644))
	lingertest.Must(t, os.Mkdir(filepath.Join(dir, "a directory"), 0o755))
	cases := []struct {
		words []string // the last is completed
		want  []string // all, or those among others where the first is "..."
	}{
		{[]string{"hand"}, []string{"handover"}},
		{[]string{"free", "--dr"}, []string{"--dry-run"}},
		{[]string{"serve", "--on-term", ""}, []string{"abort", "drain"}},
		{[]string{"--on-term", "d"}, []string{"drain"}}, // the default command
		{[]string{"--log-format", "j"}, []string{"json"}},
		{[]string{"serve", "--tls-cert", "a "}, []string{"...", "a file"}},
		{[]string{"serve", "--root", "a "}, []string{"a directory"}},
		{[]string{"connections", "--to"}, []string{"--top"}},
		{[]string{"serve", "--to"}, nil},
	}
	check := func(t *testing.T, program string, complete func(words []string) []byte) {
		for _, c := range cases {
			var got []string
			for line := range strings.Lines(string(complete(c.words))) {
				word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
				got = append(got, strings.TrimSuffix(strings.ReplaceAll(word, `\ `, " "), "/"))
			}
			slices.Sort(got)
			want := c.want
			if len(want) > 0 && want[0] == "..." {
				want = want[1:]
				got = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(want, s) })
			}
			if !slices.Equal(slices.Compact(got), want) {
				t.Errorf("%s completes %q to %q, want %q", program, c.words, got, want)
			}
		}
	}
	t.Run("bash", func(t *testing.T) {
		program := debian.Program(t, "bash", "bash")
		check(t, program, func(words []string) []byte {
			cmd := exec.Command(program, "-c", `source rstserver.bash && COMP_WORDS=(rstserver "$@") COMP_CWORD=$# && { _rstserver; printf '%s\n' "${COMPREPLY[@]}"; }`, "bash")
			cmd.Args = append(cmd.Args, words...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v, %s", err, out)
			}
			if string(out) == "\n" {
				return nil
			}
			return out
		})
		// bash takes --flag=value for three words.
		out, err := exec.Command(program, "-c", `source "$0" && COMP_WORDS=(rstserver serve --on-term = d) COMP_CWORD=4 && _rstserver && echo "${COMPREPLY[@]}"`,
			filepath.Join(dir, "rstserver.bash")).CombinedOutput()
		if err != nil || string(out) != "drain\n" {
			t.Errorf("--on-term=d: %v, %q", err, out)
		}
	})
	t.Run("fish", func(t *testing.T) {
		program := debian.Program(t, "fish", "fish")
		check(t, program, func(words []string) []byte {
			line := "rstserver"
			for _, w := range words {
				line += " " + strings.ReplaceAll(w, " ", `\ `)
			}
			cmd := exec.Command(program, "--no-config", "-c", `source rstserver.fish; complete -C $argv[1]`, line)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v, %s", err, out)
			}
			return out
		})
	})
	t.Run("zsh", func(t *testing.T) {
		// With free, launch adds no address.
		cmd := exec.Command(debian.Program(t, "zsh", "zsh"), "-f", "-i", "-s", "free")
		cmd.Env = append(os.Environ(), "TERM=xterm", "HOME="+dir)
		cmd.Dir = dir
		p, keys := onTerminalOf(t, cmd, 200)
		// What is typed while the line editor does not run is not completed.
		edited := 0
		say := func(keysTyped, shown string) {
			t.Helper()
			lingertest.Wait(t, "the line editor runs", func() bool { return strings.Count(p.text(), "\x1b[?2004h") > edited })
			_, err := io.WriteString(keys, keysTyped)
			lingertest.Must(t, err)
			lingertest.Wait(t, "zsh shows "+shown, func() bool { return strings.Contains(p.text(), shown) })
			edited++
			_, err = io.WriteString(keys, "\x15\n") // which empties the line
			lingertest.Must(t, err)
			if strings.HasSuffix(keysTyped, "\n") {
				edited++
			}
		}
		say("PS1=; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; setopt no_beep; print rea''dy\n", "ready")
		say("rstserver hand\t", "handover")
		say("rstserver free --dr\t", "--dry-run")
		say("rstserver serve --on-term=d\t", "serve --on-term=drain")
		say("rstserver --on-term=a\t", "--on-term=abort")
		say("rstserver serve --root a\\ d\t", "directory")
		_, _ = io.WriteString(keys, "exit\n")
		<-p.ended
	})
}
