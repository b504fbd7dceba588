package report

import (
	"bytes"
	"embed"
	"html/template"
	"io"
	"strconv"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// HTML writes one page of the documents, with charts and tables. It is complete in itself: whatever opens it asks the network
// for nothing.
func HTML(w io.Writer, o Options, docs ...*Document) error {
	page := page{
		Style: template.CSS(pageFile("page.css")), Script: template.JS(pageFile("page.js")),
		Library: template.JS(library()), License: string(pageFile("chart.LICENSE.md")),
		Charts: chartOf(docs), Subject: capital(subject(docs)),
	}
	for _, d := range docs {
		page.Teardowns = page.Teardowns || len(d.Cells) > 0
	}
	if o.Explain {
		page.Definitions = definitionsOf(docs)
	}
	for i, d := range docs {
		page.Documents = append(page.Documents, d.section(i))
	}
	t, err := template.New("page.html").ParseFS(pageFiles, "page/page.html")
	if err != nil {
		return err
	}
	return t.Execute(w, page)
}

func pageFile(name string) []byte {
	b, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return b
}

// library is the chart library without its last line, by which a browser's debugger would look for another file.
func library() []byte {
	b := pageFile("chart.umd.js")
	if i := bytes.LastIndex(b, []byte("\n//# sourceMappingURL=")); i >= 0 {
		b = b[:i]
	}
	return b
}

type page struct {
	Style           template.CSS
	Library, Script template.JS
	License         string
	Charts          charted
	Subject         string
	Teardowns       bool // there is a time that counts from a signal
	Definitions     []Definition
	Documents       []section
}

// section is one document of a page.
type section struct {
	ID              string // begins those of its elements
	Index           int
	Heading         string
	Command         string
	Facts           []fact
	Warnings        []string
	Stories         []story
	Blocks          []blockSection
	Growth          []grid
	Restarts        []grid
	Wired           bool
	Servers         grid
	Skipped, Failed []sentence
}

type blockSection struct {
	Title string
	Grids []grid
}

func (d *Document) section(i int) section {
	blocks := d.blocks()
	s := section{
		ID: "d" + strconv.Itoa(i), Index: i, Heading: d.heading(blocks), Command: shell(d.Command), Facts: d.facts(),
		Warnings: d.warnings(blocks), Stories: d.stories(blocks), Growth: d.growthGrids(blocks), Restarts: d.restartGrids(d.restartRows()), Wired: d.wired(), Servers: d.aboutGrid(),
		Skipped: omissions(d.Skipped), Failed: omissions(d.Failed),
	}
	for _, b := range blocks {
		s.Blocks = append(s.Blocks, blockSection{b.title(), d.grids(b)})
	}
	return s
}

// capital is s with a capital.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
