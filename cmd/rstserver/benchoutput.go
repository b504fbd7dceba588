package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"rstserver/bench/report"
)

// benchOutputs is where the outcome goes.
type benchOutputs struct {
	stdout io.Writer
	how    report.Options
	inputs []input
	taken  string // the flag of what stdout gets in place of the tables
	files  []benchFile
}

// input is a file that --from names.
type input struct {
	name string
	info os.FileInfo
}

type benchFile struct {
	flag, name string // no name: it is stdout
	w          io.Writer
	made       bool // it was not there before
	write      func(w io.Writer, o report.Options, docs ...*report.Document) error
}

// outputs opens the files before anything is measured, so that none of it is lost to a wrong name. What is in them stays there
// until there is something to replace it.
//
// None of them may be what is read, inputs, or what another one writes: a measurement cannot be had a second time.
func (c *benchCommand) outputs(stdout io.Writer, inputs ...input) (_ *benchOutputs, err error) {
	out := &benchOutputs{stdout: stdout, how: report.Options{Columns: columnsOf(stdout), Explain: c.Explain}, inputs: inputs}
	if f, ok := stdout.(*os.File); ok {
		if err := out.notInput("stdout", "the shell's >", f); err != nil {
			return nil, &exitError{exitUsage, err}
		}
	}
	defer func() {
		if err != nil {
			out.discard()
		}
	}()
	for _, f := range []struct {
		flag  string
		name  *string
		write func(w io.Writer, o report.Options, docs ...*report.Document) error
	}{
		{"--json", c.JSON, writeJSON},
		{"--html", c.HTML, report.HTML},
		{"--markdown", c.Markdown, report.Markdown},
	} {
		switch {
		case f.name == nil:
		case *f.name == "":
			return nil, usage("%s=: it must name a file, or - for stdout", f.flag)
		case *f.name != "-":
			if err := out.open(benchFile{flag: f.flag, name: *f.name, write: f.write}); err != nil {
				return nil, &exitError{exitUsage, err}
			}
		case out.taken != "":
			return nil, usage("%s=-: stdout has %s already; name a file", f.flag, out.taken)
		default:
			out.taken = f.flag
			out.files = append(out.files, benchFile{flag: f.flag, w: stdout, write: f.write})
		}
	}
	return out, nil
}

func (o *benchOutputs) open(f benchFile) error {
	_, err := os.Stat(f.name)
	f.made = errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	f.w = file
	if err := o.distinct(f, file); err != nil {
		_ = file.Close()
		return err
	}
	o.files = append(o.files, f)
	return nil
}

// distinct refuses a file that is read, or that something else is written to.
func (o *benchOutputs) distinct(f benchFile, file *os.File) error {
	if err := o.notInput(f.flag, f.name, file); err != nil {
		return err
	}
	if stdout, ok := o.stdout.(*os.File); ok && sameFile(file, stdout) {
		return fmt.Errorf("%s: %s is what stdout is written to; name another file", f.flag, f.name)
	}
	for _, other := range o.files {
		if other.name != "" && sameFile(file, other.w.(*os.File)) {
			return fmt.Errorf("%s: %s is what %s writes; name another file", f.flag, f.name, other.flag)
		}
	}
	return nil
}

func (o *benchOutputs) notInput(flag, name string, file *os.File) error {
	stat, err := file.Stat()
	for _, in := range o.inputs {
		if err == nil && stat.Mode().IsRegular() && os.SameFile(stat, in.info) {
			return fmt.Errorf("%s: %s is what --from=%s reads, and would be lost; name another file", flag, name, in.name)
		}
	}
	return nil
}

// sameFile is about regular files. Everything can be written to one pipe or device, where it does not replace the rest.
func sameFile(a, b *os.File) bool {
	statA, errA := a.Stat()
	statB, errB := b.Stat()
	return errA == nil && errB == nil && statA.Mode().IsRegular() && os.SameFile(statA, statB)
}

func writeJSON(w io.Writer, _ report.Options, docs ...*report.Document) error {
	return docs[0].WriteJSON(w)
}

// write writes everything, whatever becomes of a part of it.
func (o *benchOutputs) write(docs ...*report.Document) error {
	var errs []error
	for _, f := range o.files {
		var b bytes.Buffer
		err := f.write(&b, o.how, docs...)
		if err == nil && f.name != "" {
			err = f.empty()
		}
		if err == nil {
			_, err = f.w.Write(b.Bytes())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.flag, err))
		}
	}
	if o.taken == "" {
		for i, d := range docs {
			if i > 0 {
				fmt.Fprintln(o.stdout)
			}
			if err := d.Text(o.stdout, o.how); err != nil {
				errs = append(errs, fmt.Errorf("stdout: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// empty takes out what was in the file before. No device or pipe can be emptied, or has to.
func (f benchFile) empty() error {
	file := f.w.(*os.File)
	if stat, err := file.Stat(); err == nil && !stat.Mode().IsRegular() {
		return nil
	}
	return file.Truncate(0)
}

func (o *benchOutputs) close() {
	for _, f := range o.files {
		if f.name != "" {
			_ = f.w.(*os.File).Close()
		}
	}
}

// discard is close for when nothing will be written.
func (o *benchOutputs) discard() {
	o.close()
	for _, f := range o.files {
		if f.made {
			_ = os.Remove(f.name)
		}
	}
}
