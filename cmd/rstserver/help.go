package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"rstserver/bench"
	"rstserver/internal/layout"
)

// printHelp is kong's help, but that the program's own shows the flags of the default command, which it takes too, and names
// the other commands.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	command := ctx.Model.DefaultCmd
	if ctx.Selected() != nil || command == nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	selected, err := kong.Trace(ctx.Kong, []string{command.Name})
	if err != nil {
		return err
	}
	fmt.Fprintf(ctx.Stdout, "Usage: %s [%s] [flags]\n", ctx.Model.Name, command.Name)
	for _, other := range ctx.Model.Children {
		if other != command && !other.Hidden {
			fmt.Fprintf(ctx.Stdout, "       %s %s\n", ctx.Model.Name, other.Summary())
		}
	}
	fmt.Fprintf(ctx.Stdout, "\n%s\n", ctx.Model.Help)
	options.NoAppSummary = true
	return kong.DefaultHelpPrinter(options, selected)
}

// self is what a shell finds this program by, for commands that are to be pasted.
var self = "rstserver"

// calledAs is the word in a shell that starts what was started as path, which has a slash in it where PATH was not asked.
func calledAs(path string) string {
	if strings.Trim(path, wordLetters) != "" {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// wordLetters need no quotes in a shell.
const wordLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,@:="

// printCommands names the commands with a line each.
func printCommands(w io.Writer, parser *kong.Kong) {
	t := layout.Text{Columns: columnsOf(w)}
	t.Wrap("", "", parser.Model.Help)
	t.Line("")
	var commands [][2]string
	for _, c := range parser.Model.Children {
		if c.Hidden {
			continue
		}
		commands = append(commands, [2]string{"rstserver " + c.Name, c.Help})
	}
	t.Pairs(append(commands,
		[2]string{"rstserver help COMMAND", "Explain a command and its flags, as does rstserver COMMAND --help."},
		[2]string{"rstserver --version", "Name the version."}))
	fmt.Fprint(w, t.String())
}

// version is one line for a report of a bug.
func version() string {
	return strings.TrimSpace(fmt.Sprintf("rstserver %s (%s, %s/%s)", cmp.Or(bench.ProgramVersion(), "of unknown version"), runtime.Version(), runtime.GOOS, runtime.GOARCH))
}

// suggestion is how kong proposes what is not near at all, such as --root for --prot.
var suggestion = regexp.MustCompile(`, did you mean .*\?$`)

// others are what the address is called elsewhere.
var others = map[string]string{"port": "addr", "host": "addr", "listen": "addr", "bind": "addr", "address": "addr", "kill": "signal", "force": "yes"}

// nearer has err, which is about args, propose what was likely meant, if there is anything.
func nearer(parser *kong.Kong, args []string, err error) error {
	text := suggestion.ReplaceAllString(err.Error(), "")
	var names []string
	prefix := ""
	unknown, isFlag := strings.CutPrefix(text, "unknown flag --")
	var parsing *kong.ParseError
	serves := errors.As(err, &parsing) && (parsing.Context.Selected() == nil || parsing.Context.Selected().Name == "serve")
	switch argument, isArgument := strings.CutPrefix(text, "unexpected argument "); {
	case isFlag && parsing != nil:
		prefix = "--"
		flags := parsing.Context.Flags()
		if parsing.Context.Selected() == nil {
			flags = append(flags, parser.Model.DefaultCmd.Flags...)
		}
		for _, f := range flags {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	case isArgument && isPort(argument) && serves:
		return fmt.Errorf("%s: did you mean --addr :%s?", text, argument)
	case isArgument && len(args) > 0 && args[0] == argument:
		unknown = argument
		for _, c := range parser.Model.Children {
			if !c.Hidden {
				names = append(names, c.Name)
			}
		}
		names = append(names, "help")
	default:
		return errors.New(text)
	}
	if other := others[unknown]; isFlag && slices.Contains(names, other) {
		names = []string{other}
	} else {
		names = slices.DeleteFunc(names, func(name string) bool { return !near(unknown, name) })
	}
	switch len(names) {
	case 0:
		if !isFlag {
			text += fmt.Sprintf(": '%s help' names the commands", self)
		}
		return errors.New(text)
	case 1:
		return fmt.Errorf("%s: did you mean %s%s?", text, prefix, names[0])
	}
	return fmt.Errorf("%s: did you mean one of %s%s?", text, prefix, strings.Join(names, ", "+prefix))
}

// isPort reports whether s is a number that a port can have.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// near reports whether somebody who writes one may mean the other: it is the beginning, or there is one mistake in four letters.
func near(written, name string) bool {
	return len(written) >= 3 && strings.HasPrefix(name, written) || mistakes(written, name) <= max(1, len(name)/4)
}

// mistakes is the number of letters that are missing, too many, wrong, or in the place of the one beside them (optimal string alignment).
func mistakes(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for k := range rows[i] {
			switch {
			case i == 0 || k == 0:
				rows[i][k] = i + k
			default:
				wrong := rows[i-1][k-1]
				if a[i-1] != b[k-1] {
					wrong++
				}
				rows[i][k] = min(wrong, rows[i-1][k]+1, rows[i][k-1]+1)
				if i > 1 && k > 1 && a[i-1] == b[k-2] && a[i-2] == b[k-1] {
					rows[i][k] = min(rows[i][k], rows[i-2][k-2]+1)
				}
			}
		}
	}
	return rows[len(a)][len(b)]
}

// Help is what the help says below the first line.
func (*serveCommand) Help() string {
	return "Stdout gets the address, and at the end a report of the teardown with what the kernel says is left; logs go to " +
		"stderr.\n\n" +
		"SIGTERM and SIGINT abort: every connection is reset at once; or drain, with --on-term. SIGQUIT drains: answers in " +
		"flight are finished, and idle connections reset. SIGUSR1 releases the port, on which others can listen then, and the process ends with its " +
		"last connection. SIGUSR2 starts a successor, of the program file that is there by then, and hands the port over to it without a " +
		"client being refused. SIGTERM or SIGINT during a drain aborts, and one more during the teardown exits at once. SIGHUP has the " +
		"certificates looked at again, and nothing else.\n\n" +
		"Exit codes: 0 when no connection outlived the teardown; 1 when one did, when that could not be verified, or when " +
		"the server did not start; 2 for wrong usage. D is a duration such as 500ms, 10s or 3m."
}
