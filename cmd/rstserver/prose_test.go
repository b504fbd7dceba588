package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWriteWrapped(t *testing.T) {
	long := strings.Repeat("0123456789", 12)
	for _, tt := range []struct{ name, indent, text, want string }{
		{"short", "", "a b", "a b\n"},
		{"nothing", "  ", "", "  \n"},
		{"indented", "  ", "a", "  a\n"},
		{"just fits", "", strings.Repeat("x", 49) + " " + strings.Repeat("y", 50), strings.Repeat("x", 49) + " " + strings.Repeat("y", 50) + "\n"},
		{"one too many", "", strings.Repeat("x", 50) + " " + strings.Repeat("y", 50), strings.Repeat("x", 50) + "\n  " + strings.Repeat("y", 50) + "\n"},
		{"long word", "", "a " + long + " b", "a\n  " + long + "\n  b\n"},
		{"umlauts count once", "", strings.Repeat("ü", 49) + " " + strings.Repeat("ö", 50), strings.Repeat("ü", 49) + " " + strings.Repeat("ö", 50) + "\n"},
	} {
		var b strings.Builder
		writeWrapped(&b, tt.indent, tt.text)
		if got := b.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestWriteTable(t *testing.T) {
	six := "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
	table := [][]string{
		{"SOCKETS", "STATE", "PROCESS", "LOCAL ADDRESS"},
		{"10,000", "ESTABLISHED", "a-process-name! (pid 4194304) +12", strings.Join([]string{six, six, "127.0.0.1"}, ", ")},
		{"1", "LISTEN", "x (pid 1)", "::"},
	}
	var b strings.Builder
	writeTable(&b, table, 1)
	want := `  SOCKETS  STATE        PROCESS                            LOCAL ADDRESS
   10,000  ESTABLISHED  a-process-name! (pid 4194304) +12  ` + six + `,
                                                  ` + six + `, 127.0.0.1
        1  LISTEN       x (pid 1)                          ::
`
	got := b.String()
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(line) - 1; n > maxColumns {
			t.Errorf("line of %d columns: %s", n, line)
		}
	}
	if got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}
