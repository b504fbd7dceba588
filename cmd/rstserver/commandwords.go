package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/mattn/go-shellwords"
)

// commandWords takes a command line apart as a shell does. What only a shell can do is an error: shellwords would leave out all that
// comes behind an operator, and take what is to be substituted as it is.
func commandWords(line string) ([]string, error) {
	bare := quoted.ReplaceAllStringFunc(line, func(q string) string {
		if q[0] != '"' {
			return ""
		}
		return substitution.FindString(backslash.ReplaceAllString(q, "")) // which is done in double quotes too
	})
	if found := shellSyntax.FindString(bare); found != "" {
		return nil, fmt.Errorf("%s is for a shell; a shell is needed for that: cmd=sh -c '...'", found)
	}
	switch {
	case strings.ContainsAny(bare, `'"`):
		return nil, errors.New("a quote is not closed")
	case strings.HasSuffix(bare, `\`):
		return nil, errors.New(`nothing is behind the last \`)
	}
	return shellwords.Parse(quoted.ReplaceAllStringFunc(line, escapes))
}

// substituted is how what is to be substituted begins: $NAME, ${NAME}, $(command), `command`.
const substituted = "\\$[A-Za-z0-9_({?!#@*$-]|`"

var (
	quoted       = regexp.MustCompile(`(?s)\\.|'[^']*'|"(?:[^"\\]|\\.)*"`)
	backslash    = regexp.MustCompile(`(?s)\\.`)
	substitution = regexp.MustCompile(substituted)
	shellSyntax  = regexp.MustCompile("[|&;<>()]|" + substituted)
)

// escapes makes shellwords read a quoted part as sh does: to it \n and \t are a line break and a tab, and \x in double quotes is x.
func escapes(q string) string {
	switch {
	case q == `\n` || q == `\t`:
		return q[1:]
	case q[0] == '"':
		return backslash.ReplaceAllStringFunc(q, func(e string) string {
			if strings.ContainsAny(e[1:], "$`\"\\\n") {
				return e
			}
			return `\` + e
		})
	}
	return q
}
