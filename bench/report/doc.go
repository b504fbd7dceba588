// Package report is what the benchmark found out, and how people read it: a [Document] holds every raw sample and is what
// the JSON file holds; from it come the table of the terminal, the Markdown and the page with charts. It knows neither
// sockets nor processes, so a Document that was measured elsewhere can be read anywhere.
package report
