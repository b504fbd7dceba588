package kongdocs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// words are the flags of a command, long and short.
func words(command *kong.Node) (all []string) {
	for _, f := range flagsOf(command) {
		all = append(all, "--"+f.Name)
		if f.Short != 0 {
			all = append(all, "-"+string(f.Short))
		}
	}
	return all
}

// names are those of the commands.
func names(commands []*kong.Node) (all []string) {
	for _, c := range commands {
		all = append(all, c.Name)
	}
	return all
}

// others are the commands but the default one.
func others(app *kong.Application) []*kong.Node {
	return slices.DeleteFunc(shown(app), func(c *kong.Node) bool { return c == app.DefaultCmd })
}

// Bash returns completions for bash. They need nothing else, bash-completion's functions included.
func Bash(app *kong.Application) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Completions of %s for bash.", app.Name)
	p("_%s() {", app.Name)
	p(`	local current=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}`)
	// bash takes --flag=value for three words.
	p(`	if [[ $current == = ]]; then`)
	p(`		current=`)
	p(`	elif [[ $flag == = ]]; then`)
	p(`		flag=${COMP_WORDS[COMP_CWORD-2]}`)
	p(`	fi`)
	p(`	COMPREPLY=()`)
	if app.DefaultCmd != nil {
		p(`	case $command in %s) ;; *) command=%s ;; esac`, strings.Join(names(others(app)), "|"), app.DefaultCmd.Name)
	}
	p(`	case $command,$flag in`)
	for _, c := range shown(app) {
		for _, f := range flagsOf(c) {
			flags := fmt.Sprintf("%s,--%s", c.Name, f.Name)
			if f.Short != 0 {
				flags += fmt.Sprintf("|%s,-%c", c.Name, f.Short)
			}
			switch valueOf(f) {
			case oneOf:
				p(`	%s) COMPREPLY=($(compgen -W '%s' -- "$current")); return ;;`, flags, strings.Join(choices(f), " "))
			case file:
				p(`	%s) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;`, flags)
			case directory:
				p(`	%s) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;`, flags)
			case anyValue:
				p(`	%s) return ;;`, flags)
			}
		}
	}
	p(`	esac`)
	p(`	if [[ $COMP_CWORD == 1 && $current != -* ]]; then`)
	p(`		COMPREPLY=($(compgen -W '%s help' -- "$current"))`, strings.Join(names(shown(app)), " "))
	p(`		return`)
	p(`	fi`)
	p(`	case $command in`)
	for _, c := range shown(app) {
		p(`	%s) COMPREPLY=($(compgen -W '%s' -- "$current")) ;;`, c.Name, strings.Join(words(c), " "))
	}
	p(`	esac`)
	p(`}`)
	p(`complete -F _%s %[1]s`, app.Name)
	return b.String()
}

// Zsh returns completions for zsh.
func Zsh(app *kong.Application) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("#compdef %s", app.Name)
	p("# Completions of %s for zsh.", app.Name)
	p("_%s() {", app.Name)
	p("\tlocal command=${words[2]}")
	p("\tif (( CURRENT == 2 )) && [[ $command != -* ]]; then")
	p("\t\tlocal -a commands=(")
	for _, c := range shown(app) {
		p("\t\t\t'%s:%s'", c.Name, quoted(sentence(c.Help)))
	}
	p("\t\t\t'help:Explain a command'")
	p("\t\t)")
	p("\t\t_describe command commands")
	p("\t\treturn")
	p("\tfi")
	p("\tcase $command in")
	for _, c := range append(others(app), app.DefaultCmd) {
		switch {
		case c == nil:
			continue
		case c == app.DefaultCmd:
			p("\t*)")
			p("\t\t[[ $command == %s ]] && { shift words; (( CURRENT-- )) }", c.Name)
		default:
			p("\t%s)", c.Name)
			p("\t\tshift words; (( CURRENT-- ))")
		}
		p("\t\t_arguments -s \\")
		for _, f := range flagsOf(c) {
			help := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(quoted(sentence(f.Help)))
			var takes string
			switch valueOf(f) {
			case oneOf:
				takes = fmt.Sprintf(":%s:(%s)", f.Name, strings.Join(choices(f), " "))
			case file:
				takes = ":file:_files"
			case directory:
				takes = ":directory:_files -/"
			case anyValue:
				takes = fmt.Sprintf(":%s: ", strings.NewReplacer(":", `\:`).Replace(quoted(placeholder(f))))
			}
			equals := ""
			if takes != "" {
				equals = "="
			}
			p("\t\t\t'*--%s%s[%s]%s' \\", f.Name, equals, help, takes)
			if f.Short != 0 {
				p("\t\t\t'*-%c[%s]%s' \\", f.Short, help, takes)
			}
		}
		p("\t\t\t'*:argument: '")
		p("\t\t;;")
	}
	p("\tesac")
	p("}")
	p("_%s \"$@\"", app.Name)
	return b.String()
}

// Fish returns completions for fish.
func Fish(app *kong.Application) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Completions of %s for fish.", app.Name)
	p("complete -c %s -f", app.Name)
	all := strings.Join(append(names(shown(app)), "help"), " ")
	for _, c := range shown(app) {
		p("complete -c %s -n 'not __fish_seen_subcommand_from %s' -a %s -d '%s'", app.Name, all, c.Name, fishQuoted(sentence(c.Help)))
	}
	for _, c := range shown(app) {
		when := "__fish_seen_subcommand_from " + c.Name
		if c == app.DefaultCmd {
			when = "not __fish_seen_subcommand_from " + strings.Join(append(names(others(app)), "help"), " ")
		}
		for _, f := range flagsOf(c) {
			takes := ""
			switch valueOf(f) {
			case oneOf:
				takes = fmt.Sprintf(" -x -a '%s'", strings.Join(choices(f), " "))
			case file:
				takes = " -r -F"
			case directory:
				takes = " -x -a '(__fish_complete_directories)'"
			case anyValue:
				takes = " -x"
			}
			short := ""
			if f.Short != 0 {
				short = fmt.Sprintf(" -s %c", f.Short)
			}
			p("complete -c %s -n '%s' -l %s%s%s -d '%s'", app.Name, when, f.Name, short, takes, fishQuoted(sentence(f.Help)))
		}
	}
	return b.String()
}

// quoted is text within the single quotes of a POSIX shell.
func quoted(s string) string { return strings.ReplaceAll(s, `'`, `'\''`) }

// fishQuoted is text within the single quotes of fish.
func fishQuoted(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }
