package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
)

// filesPath is the path under which the files of --root are served.
const filesPath = "/files/"

// newFiles serves what is in root under filesPath, and nothing outside of it, whatever a path or a symbolic link says.
func newFiles(root *os.Root) http.Handler {
	return http.StripPrefix(strings.TrimSuffix(filesPath, "/"), http.FileServerFS(rootFS{root}))
}

// rootFS is an os.Root's FS with regular files and directories only: others have no size and no end, or are never there.
type rootFS struct{ root *os.Root }

// Open implements fs.FS.
func (r rootFS) Open(name string) (fs.File, error) {
	// Without O_NONBLOCK a FIFO would be waited for until somebody writes to it.
	f, err := r.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, absent(name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = absent(name, fs.ErrInvalid)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.IsDir() {
		return &listedDir{File: f, root: r.root, name: name}, nil
	}
	return f, nil
}

// listedDir is a directory whose list has nothing that would not be served.
type listedDir struct {
	*os.File
	root *os.Root
	name string
}

// ReadDir implements fs.ReadDirFile.
func (d *listedDir) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.File.ReadDir(n)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		if e.Type()&fs.ModeSymlink == 0 {
			return !e.Type().IsRegular() && !e.IsDir()
		}
		info, err := d.root.Stat(d.name + "/" + e.Name()) // which a link does not lead out of
		return err != nil || !info.Mode().IsRegular() && !info.IsDir()
	}), err
}

// absent makes the errors of names that there cannot be one that net/http answers with 404. What the system fails to do
// stays what it is, for 403 and 500.
func absent(name string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.EINVAL, syscall.ELOOP, syscall.ENXIO: // the last: a socket
		default:
			return err
		}
	}
	// Without an errno it is os.Root that refuses to leave the directory.
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
