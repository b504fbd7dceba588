// Command rstserver serves HTTP/1.1 on event loops and lets go of its port at once: on SIGTERM or SIGINT it resets every
// connection, and says what the kernel has left of them. It also frees a port that somebody else has left, and measures how
// servers let go of theirs.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"rstserver/bench"
	"rstserver/internal/layout"
	"rstserver/linger"
)

// Exit codes. Those of a server that ran are ok and failed.
const (
	exitOK     = 0 // nothing that the server held outlived the teardown; the port that was to be free is
	exitFailed = 1 // something did, or it could not be verified, or the server did not start; the port is not free
	exitUsage  = 2
)

type commandLine struct {
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Serve HTTP/1.1 and HTTP/2 until a signal ends it: by default with a reset of every connection. The default command."`
	Bench       benchCommand       `cmd:"" help:"Measure how servers let go of their port: this one, others, and any that you name."`
	Connections connectionsCommand `cmd:"" help:"List the connections of a server that was started with --admin, and end some."`
	Drain       orderCommand       `cmd:"" help:"Have a server that was started with --admin finish what is in flight, and end."`
	Release     orderCommand       `cmd:"" help:"Have such a server give up its port, and end with its last connection."`
	Abort       orderCommand       `cmd:"" help:"Have such a server reset all connections, and end."`
	Handover    orderCommand       `cmd:"" help:"Have such a server start a successor, hand over to it, and end."`
	Limits      limitsCommand      `cmd:"" help:"Show and change bounds of such a server while it runs."`
	Docs        docsCommand        `cmd:"" hidden:"" help:"Write the man pages, and the completions for bash, zsh and fish."`
	Free        freeCommand        `cmd:"" help:"Say what is on local TCP ports, and free them: destroy the connections and what is left of them, whoever's they are."`
}

func main() {
	self = calledAs(os.Args[0])
	helped, err := bench.Helper(os.Args[1:])
	switch {
	case err != nil:
		printError(os.Stderr, err)
		os.Exit(exitFailed)
	case helped:
		os.Exit(exitOK)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	var cl commandLine
	var exited *exitError
	parser, err := kong.New(&cl,
		kong.Name("rstserver"),
		kong.Description("An HTTP server whose port is gone the moment you say so."),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: layout.Usual}),
		kong.Help(printHelp),
		// Help ends the program from within the parser.
		kong.Exit(func(code int) { panic(&exitError{code: code}) }),
	)
	if err != nil {
		printError(stderr, err)
		return exitFailed
	}
	if len(args) > 0 {
		switch args[0] {
		case "--version", "version":
			fmt.Fprintln(stdout, version())
			return exitOK
		case "help":
			if len(args) == 1 {
				printCommands(stdout, parser)
				return exitOK
			}
			args = append([]string{args[1]}, "--help")
		}
	}
	command, err := parse(parser, args, &cl.Serve)
	switch {
	case err != nil:
	case command == "free":
		err = cl.Free.run(os.Stdin, stdout, stderr)
	case command == "connections":
		err = cl.Connections.run(os.Stdin, stdout, stderr)
	case command == "drain":
		err = cl.Drain.run(linger.ModeDrain, stdout, stderr)
	case command == "release":
		err = cl.Release.run(linger.ModeRelease, stdout, stderr)
	case command == "abort":
		err = cl.Abort.run(linger.ModeAbort, stdout, stderr)
	case command == "handover":
		err = cl.Handover.run(linger.ModeHandover, stdout, stderr)
	case command == "limits":
		err = cl.Limits.run(stdout)
	case command == "docs":
		err = cl.Docs.run(parser.Model)
	case command == "bench":
		err = cl.Bench.run(args, os.Stdin, stdout, stderr)
	default:
		err = cl.Serve.run(stdout, stderr)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exited):
		if exited.err != nil {
			printError(stderr, exited.err)
		}
		if exited.code == exitUsage {
			fmt.Fprintf(stderr, "Try '%s --help'.\n", helpOf(args))
		}
		return exited.code
	default:
		printError(stderr, err)
		return exitFailed
	}
}

// printError prints one line, of joined errors too; on a terminal as many as it takes.
func printError(w io.Writer, err error) {
	if !isTerminal(w) {
		fmt.Fprintln(w, "rstserver:", oneLine(err))
		return
	}
	t := layout.Text{Columns: columnsOf(w)}
	t.Wrap("rstserver: ", "  ", oneLine(err))
	fmt.Fprint(w, t.String())
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// parse fills in what parser is for and returns the command's name.
func parse(parser *kong.Kong, args []string, serve *serveCommand) (command string, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(*exitError)
			if !ok {
				panic(p)
			}
			err = e
		}
	}()
	ctx, err := parser.Parse(args)
	if err != nil {
		m := noValue.FindStringSubmatch(err.Error())
		switch {
		case m != nil:
			err = errors.New(m[1] + ": missing value")
		case strings.HasPrefix(err.Error(), `expected "<port>`):
			err = errors.New("a port is missing, such as 8080")
		default:
			err = nearer(parser, args, err)
		}
		return "", &exitError{exitUsage, err}
	}
	for _, element := range ctx.Path {
		if element.Flag != nil && element.Flag.Name == "addr" {
			serve.addrGiven = true
		}
	}
	return ctx.Selected().Name, nil
}

// noValue is how kong says that a flag is the last argument.
var noValue = regexp.MustCompile(`^(--[a-z-]+): expected .* but got "EOL" `)

// commands are the names of all.
var commands = []string{"serve", "bench", "connections", "drain", "release", "abort", "handover", "limits", "free"}

// helpOf is the command that has the help on what args are about.
func helpOf(args []string) string {
	if len(args) > 0 && slices.Contains(commands, args[0]) {
		return self + " " + args[0]
	}
	return self
}
