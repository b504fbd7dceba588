package kongdocs

import (
	"fmt"
	"go/doc/comment"
	"strings"

	"github.com/alecthomas/kong"
)

// ManPages returns a page of section 1 for the program and one for each command, by file name. The program's names the commands, and sends
// the reader to theirs.
func ManPages(app *kong.Application) map[string]string {
	pages := map[string]string{app.Name + ".1": programPage(app)}
	for _, c := range shown(app) {
		pages[app.Name+"-"+c.Name+".1"] = commandPage(app, c)
	}
	return pages
}

func programPage(app *kong.Application) string {
	var p page
	p.title(app.Name, app.Help)
	p.section("SYNOPSIS")
	for i, c := range shown(app) {
		if i > 0 {
			p.line(".br")
		}
		p.synopsis(app, c)
	}
	p.section("COMMANDS")
	for _, c := range shown(app) {
		p.term(bold(c.Name))
		p.text(c.Help + " See " + app.Name + "-" + c.Name + "(1).")
	}
	if c := app.DefaultCmd; c != nil {
		p.section("DESCRIPTION")
		p.text("Without a command it is " + c.Name + ", whose flags it takes.")
	}
	p.section("SEE ALSO")
	p.references(app, nil)
	return p.String()
}

func commandPage(app *kong.Application, c *kong.Node) string {
	var p page
	p.title(app.Name+"-"+c.Name, c.Help)
	p.section("SYNOPSIS")
	p.synopsis(app, c)
	p.section("DESCRIPTION")
	p.text(c.Help)
	p.doc(c.Detail)
	if len(c.Positional) > 0 {
		p.section("ARGUMENTS")
		for _, a := range c.Positional {
			p.term(italic(a.Summary()))
			p.text(a.Help)
		}
	}
	p.section("OPTIONS")
	for _, f := range flagsOf(c) {
		head := bold("--" + f.Name)
		if f.Short != 0 {
			head = bold("-"+string(f.Short)) + ", " + head
		}
		if value := placeholder(f); value != "" {
			head += "=" + italic(value)
		}
		p.term(head)
		p.text(kong.DefaultHelpValueFormatter(f.Value))
	}
	p.section("SEE ALSO")
	p.references(app, c)
	return p.String()
}

// page is one in the language of man(7).
type page struct{ strings.Builder }

func (p *page) line(s string) { p.WriteString(s + "\n") }

func (p *page) title(name, help string) {
	p.line(`.TH ` + strings.ToUpper(escaped(name)) + ` 1 "" "" "User Commands"`)
	p.section("NAME")
	p.line(escaped(name) + ` \- ` + escaped(sentence(help)))
}

func (p *page) section(name string) { p.line(".SH " + name) }

func (p *page) synopsis(app *kong.Application, c *kong.Node) {
	name, rest := c.Name, strings.TrimPrefix(c.Summary(), c.Name)
	if c == app.DefaultCmd {
		name = "[" + name + "]"
	}
	p.line(bold(app.Name+" "+name) + " " + escaped(strings.TrimSpace(rest)))
}

// term begins an entry of a list, whose text comes next. Both are of the language already.
func (p *page) term(s string) {
	p.line(".TP")
	p.line(s)
}

func (p *page) text(s string) { p.line(escaped(strings.Join(strings.Fields(s), " "))) }

// doc takes text in the form of Go's comments, which kong takes long help for.
func (p *page) doc(text string) {
	var parser comment.Parser
	p.blocks(parser.Parse(text).Content)
}

func (p *page) blocks(blocks []comment.Block) {
	for _, b := range blocks {
		switch b := b.(type) {
		case *comment.Heading:
			p.line(".SS " + escaped(plain(b.Text)))
		case *comment.Code:
			p.line(".PP\n.nf\n.RS")
			for l := range strings.Lines(strings.TrimSuffix(b.Text, "\n")) {
				p.line(escaped(strings.TrimSuffix(l, "\n")))
			}
			p.line(".RE\n.fi")
		case *comment.List:
			for _, item := range b.Items {
				mark := item.Number
				if mark == "" {
					mark = `\(bu`
				}
				p.line(`.IP ` + mark + ` 2`)
				for i, content := range item.Content {
					if i > 0 {
						p.line(".IP")
					}
					if par, ok := content.(*comment.Paragraph); ok {
						p.text(plain(par.Text))
					}
				}
			}
		case *comment.Paragraph:
			p.line(".PP")
			p.text(plain(b.Text))
		}
	}
}

// plain is text without its links.
func plain(all []comment.Text) string {
	var b strings.Builder
	for _, t := range all {
		switch t := t.(type) {
		case comment.Plain:
			b.WriteString(string(t))
		case comment.Italic:
			b.WriteString(string(t))
		case *comment.Link:
			b.WriteString(plain(t.Text))
		case *comment.DocLink:
			b.WriteString("[" + plain(t.Text) + "]")
		}
	}
	return b.String()
}

// references names the other pages.
func (p *page) references(app *kong.Application, but *kong.Node) {
	var names []string
	if but != nil {
		names = append(names, bold(app.Name)+"(1)")
	}
	for _, c := range shown(app) {
		if c != but {
			names = append(names, bold(app.Name+"-"+c.Name)+"(1)")
		}
	}
	p.line(strings.Join(names, ",\n"))
}

func bold(s string) string   { return fmt.Sprintf(`\fB%s\fR`, escaped(s)) }
func italic(s string) string { return fmt.Sprintf(`\fI%s\fR`, escaped(s)) }

// escaped is text as it is to be seen. A hyphen is what can be pasted into a shell.
func escaped(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
