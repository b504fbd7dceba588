package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
)

// WriteJSON writes d as JSON, indented, but with each step of a curve and each count of sockets on a line of its own. A list
// that is nil is written as an empty one; what was not measured is null.
func (d *Document) WriteJSON(w io.Writer) error {
	whole := *d
	full := fill(reflect.ValueOf(&whole).Elem()).Interface()
	b, err := json.Marshal(full)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, b, "", "  "); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	indented.WriteByte('\n')
	_, err = w.Write(compactLeaves(indented.Bytes()))
	return err
}

// fill is v with empty lists and maps in the place of nil ones. What v points to stays as it is.
func fill(v reflect.Value) reflect.Value {
	filled := reflect.New(v.Type()).Elem()
	filled.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				filled.Field(i).Set(fill(v.Field(i)))
			}
		}
	case reflect.Slice:
		filled.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			filled.Index(i).Set(fill(v.Index(i)))
		}
	case reflect.Map:
		filled.Set(reflect.MakeMap(v.Type()))
		for _, key := range v.MapKeys() {
			filled.SetMapIndex(key, fill(v.MapIndex(key)))
		}
	}
	return filled
}

// compactLeaves puts each object and list of indented JSON that has no other object or list in it on one line. A line break in
// JSON that was indented is never part of a string.
func compactLeaves(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	var out [][]byte
	for i := 0; i < len(lines); i++ {
		end := i + 1
		if opens(lines[i]) {
			for end < len(lines) && !opens(lines[end]) && !closes(lines[end]) {
				end++
			}
		}
		if end == i+1 || end == len(lines) || opens(lines[end]) {
			out = append(out, lines[i])
			continue
		}
		line := bytes.Clone(lines[i])
		for k := i + 1; k <= end; k++ {
			if k > i+1 && k < end {
				line = append(line, ' ')
			}
			line = append(line, bytes.TrimLeft(lines[k], " ")...)
		}
		out = append(out, line)
		i = end
	}
	return bytes.Join(out, []byte("\n"))
}

func opens(line []byte) bool {
	return bytes.HasSuffix(line, []byte("{")) || bytes.HasSuffix(line, []byte("["))
}

func closes(line []byte) bool {
	line = bytes.TrimLeft(line, " ")
	return bytes.HasPrefix(line, []byte("}")) || bytes.HasPrefix(line, []byte("]"))
}

// Read reads what WriteJSON wrote. A version that this package does not know is an error.
func Read(r io.Reader) (*Document, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("report: %w; a document is what rstserver bench --json writes", err)
	}
	switch {
	case head.Version == nil:
		return nil, fmt.Errorf("report: no member %q; a document is what rstserver bench --json writes", "version")
	case *head.Version != Version:
		return nil, fmt.Errorf("report: version %d of the format, this program reads version %d; use the program that wrote it, or measure again",
			*head.Version, Version)
	}
	d := new(Document)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return d, nil
}
