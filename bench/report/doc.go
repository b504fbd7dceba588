// Package report is what the benchmark found out, and how people read it: a [Document] holds every raw sample and is what
// the JSON file holds; from it come the table of the terminal, the Markdown and the page with charts. It knows neither
// sockets nor processes, so a Document that was measured elsewhere can be read anywhere. A Document has no lock: whoever
// has it may write it, and any number of goroutines at a time if nobody changes it. An error of what writes is the writer's.
package report
