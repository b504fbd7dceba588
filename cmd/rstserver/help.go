package main

import (
	"fmt"

	"github.com/alecthomas/kong"
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

// Help is what the help says below the first line.
func (*serveCommand) Help() string {
	return "Stdout gets the address, and at the end a report of the teardown with what the kernel says is left; logs go to " +
		"stderr.\n\n" +
		"SIGTERM and SIGINT abort: every connection is reset at once; or drain, with --on-term. SIGQUIT drains: answers in " +
		"flight are finished, and idle connections reset. SIGUSR1 releases the port for others, and the process ends with its " +
		"last connection. SIGUSR2 starts a successor, of the program file that is there by then, and hands the port over to it without a " +
		"client being refused. SIGTERM or SIGINT during a drain aborts, and one more during the teardown exits at once. SIGHUP has the " +
		"certificates looked at again, and nothing else.\n\n" +
		"Exit codes: 0 when no connection outlived the teardown; 1 when one did, when that could not be verified, or when " +
		"the server did not start; 2 for wrong usage. D is a duration such as 500ms, 10s or 3m."
}
