package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"rstserver/bench/report"
)

// benchOutputs is where the outcome goes.
type benchOutputs struct {
	stdout io.Writer
	tables bool // stdout gets the tables
	files  []benchFile
}

type benchFile struct {
	flag  string
	w     io.Writer
	write func(w io.Writer, docs ...*report.Document) error
}

// outputs opens the files before anything is measured, so that none of it is lost to a wrong name. What is in them stays there
// until there is something to replace it.
func (c *benchCommand) outputs(stdout io.Writer) (*benchOutputs, error) {
	out := &benchOutputs{stdout: stdout, tables: true}
	for _, f := range []struct {
		flag, name string
		write      func(w io.Writer, docs ...*report.Document) error
	}{
		{"--json", c.JSON, writeJSON},
		{"--html", c.HTML, report.HTML},
		{"--markdown", c.Markdown, report.Markdown},
	} {
		switch f.name {
		case "":
		case "-":
			if !out.tables {
				out.close()
				return nil, usage("%s=-: stdout is taken already", f.flag)
			}
			out.tables = false
			out.files = append(out.files, benchFile{f.flag, stdout, f.write})
		default:
			file, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE, 0o666)
			if err != nil {
				out.close()
				return nil, usage("%s: %w", f.flag, err)
			}
			out.files = append(out.files, benchFile{f.flag, file, f.write})
		}
	}
	if c.JSON != "" && len(c.From) > 1 {
		out.close()
		return nil, usage("--json holds what one call has measured, and --from names %d", len(c.From))
	}
	return out, nil
}

func writeJSON(w io.Writer, docs ...*report.Document) error { return docs[0].WriteJSON(w) }

// write writes everything, whatever becomes of a part of it.
func (o *benchOutputs) write(docs ...*report.Document) error {
	var errs []error
	for _, f := range o.files {
		var b bytes.Buffer
		err := f.write(&b, docs...)
		if file, ok := f.w.(*os.File); err == nil && ok && file != o.stdout {
			err = file.Truncate(0) // no device or pipe can be, or has to
			if stat, statErr := file.Stat(); statErr == nil && !stat.Mode().IsRegular() {
				err = nil
			}
		}
		if err == nil {
			_, err = f.w.Write(b.Bytes())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.flag, err))
		}
	}
	if o.tables {
		for i, d := range docs {
			if i > 0 {
				fmt.Fprintln(o.stdout)
			}
			if err := d.Text(o.stdout); err != nil {
				errs = append(errs, fmt.Errorf("stdout: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

func (o *benchOutputs) close() {
	for _, f := range o.files {
		if file, ok := f.w.(*os.File); ok && file != o.stdout {
			_ = file.Close()
		}
	}
}
