// Package kongdocs makes man pages, and completions for bash, zsh and fish, of the model of a command line that package kong has: of the
// help that the commands have anyway. mango-kong makes one page of all commands, and what completes kong's command lines (kongplete) asks
// the program at every key; what is made here needs nothing at run time.
package kongdocs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// shown are the commands that are no secret.
func shown(app *kong.Application) (commands []*kong.Node) {
	for _, c := range app.Children {
		if !c.Hidden {
			commands = append(commands, c)
		}
	}
	return commands
}

// flagsOf are the flags of a command, and those of all commands, such as --help.
func flagsOf(command *kong.Node) (flags []*kong.Flag) {
	for _, group := range command.AllFlags(true) {
		flags = append(flags, group...)
	}
	return flags
}

// placeholder is what stands for a flag's value; empty if it has none.
func placeholder(f *kong.Flag) string {
	if f.IsBool() || f.IsCounter() {
		return ""
	}
	return cmp.Or(f.PlaceHolder, strings.ToUpper(f.Name))
}

// value is what a flag takes, as far as a shell can help with it.
type value int

const (
	noValue   value = iota
	anyValue        // of which nothing is known
	oneOf           // those of choices
	file            // a file's name
	directory       // a directory's
)

func valueOf(f *kong.Flag) value {
	names := strings.Split(placeholder(f), "|")
	switch {
	case names[0] == "":
		return noValue
	case f.Enum != "":
		return oneOf
	case slices.Contains(names, "FILE"):
		return file
	case slices.Contains(names, "DIR"):
		return directory
	}
	return anyValue
}

// choices are the values that a flag with a list of them takes.
func choices(f *kong.Flag) (all []string) {
	for _, v := range f.EnumSlice() {
		all = append(all, strings.TrimSpace(v))
	}
	return all
}

// sentence is the first of a text, for a line of a list.
func sentence(text string) string {
	first, _, _ := strings.Cut(strings.Join(strings.Fields(text), " "), ". ")
	return strings.TrimSuffix(first, ".")
}
