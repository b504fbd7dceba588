package layout

import (
	"strings"
	"testing"
)

const six = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"

// expectFits expects lines of at most so many columns, but for those of one word, and every word of want whole.
func expectFits(t *testing.T, columns int, got string, want ...string) {
	t.Helper()
	have := make(map[string]bool)
	for line := range strings.Lines(got) {
		words := strings.Fields(line)
		for _, w := range words {
			have[w] = true
		}
		if n := Columns(strings.TrimSuffix(line, "\n")); n > columns && len(words) > 1 {
			t.Errorf("in %d columns: line of %d: %s", columns, n, line)
		}
	}
	for _, text := range want {
		for _, w := range strings.Fields(text) {
			if !have[w] {
				t.Errorf("in %d columns: %q is missing, or broken:\n%s", columns, w, got)
			}
		}
	}
}

func TestFits(t *testing.T) {
	long := strings.Repeat("0123456789", 12)
	rows := [][]string{
		{"SOCKETS", "STATE", "PROCESS", "LOCAL ADDRESS"},
		{"10,000", "ESTABLISHED", "a-process-name! (pid 4194304) +12", strings.Join([]string{six, six, "127.0.0.1"}, ", ")},
		{"1", "LISTEN", "服务器 (pid" + NBSP + "1)", "::"},
		{"1", "LISTEN", long, "::"},
	}
	for columns := 60; columns <= 200; columns++ {
		for n := 2; n <= len(rows); n++ {
			var table Text
			table.Columns = columns
			table.Table(rows[:n], []bool{true})
			for _, cells := range rows[1:n] {
				expectFits(t, columns, table.String(), cells...)
			}
		}
		pairs, text := Text{Columns: columns}, Text{Columns: columns}
		pairs.Pairs([][2]string{{"name", "a text of several words " + six}, {"a long name of several words", long}, {long, "x"}})
		expectFits(t, columns, pairs.String(), "a text of several words", six, "a long name of several words", long)
		text.Wrap("  - ", "    ", "it is "+long+" and "+strings.Repeat("a few words more ", 20))
		expectFits(t, columns, text.String(), long, "a few words more")
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("0123456789", 12)
	for _, tt := range []struct{ name, first, text, want string }{
		{"short", "", "a b", "a b\n"},
		{"nothing", "  ", "", "\n"},
		{"indented", "  ", "a", "  a\n"},
		{"just fits", "", strings.Repeat("x", 49) + " " + strings.Repeat("y", 50), strings.Repeat("x", 49) + " " + strings.Repeat("y", 50) + "\n"},
		{"one too many", "", strings.Repeat("x", 50) + " " + strings.Repeat("y", 50), strings.Repeat("x", 50) + "\n  " + strings.Repeat("y", 50) + "\n"},
		{"long word", "", "a " + long + " b", "a\n  " + long + "\n  b\n"},
		{"umlauts count once", "", strings.Repeat("ü", 49) + " " + strings.Repeat("ö", 50), strings.Repeat("ü", 49) + " " + strings.Repeat("ö", 50) + "\n"},
		{"two columns each", "", strings.Repeat("服", 25) + " " + strings.Repeat("务", 25), strings.Repeat("服", 25) + "\n  " + strings.Repeat("务", 25) + "\n"},
		{"held together", "", strings.Repeat("x", 95) + " 10" + NBSP + "ms", strings.Repeat("x", 95) + "\n  10 ms\n"},
	} {
		var text Text
		text.Wrap(tt.first, "  ", tt.text)
		if got := text.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	rows := [][]string{
		{"SOCKETS", "STATE", "PROCESS", "LOCAL ADDRESS"},
		{"10,000", "ESTABLISHED", "nginx (pid 812)", "10.0.0.7, 127.0.0.1"},
		{"1", "LISTEN", "x", six},
	}
	for columns, want := range map[int]string{
		100: `  SOCKETS  STATE        PROCESS          LOCAL ADDRESS
   10,000  ESTABLISHED  nginx (pid 812)  10.0.0.7, 127.0.0.1
        1  LISTEN       x                2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
`,
		74: `  SOCKETS  STATE        PROCESS     LOCAL ADDRESS
   10,000  ESTABLISHED  nginx (pid  10.0.0.7, 127.0.0.1
                        812)
        1  LISTEN       x           2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
`,
		60: `  ESTABLISHED
    SOCKETS        10,000
    PROCESS        nginx (pid 812)
    LOCAL ADDRESS  10.0.0.7, 127.0.0.1
  LISTEN
    SOCKETS        1
    PROCESS        x
    LOCAL ADDRESS  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
`,
	} {
		text := Text{Columns: columns}
		text.Table(rows, []bool{true})
		if got := text.String(); got != want {
			t.Errorf("in %d columns:\n%s\nwant:\n%s", columns, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		line string
		room int
		want string
	}{{"short", 5, "short"}, {"longer", 5, "long…"}, {"服务器", 5, "服务…"}, {"服务器", 6, "服务器"},
		{"", 5, ""}, {"äöüäöü", 5, "äöüä…"}, {"ab", 1, "…"}, {"x漢字", 4, "x漢…"}} {
		if got := Clip(tt.line, tt.room); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.line, tt.room, got, tt.want)
		}
	}
}
