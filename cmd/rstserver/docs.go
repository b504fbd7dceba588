package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"rstserver/internal/kongdocs"
)

// docsCommand writes what packages bring beside the program. It is hidden, as it is for those who make packages.
type docsCommand struct {
	Dir string `arg:"" name:"dir" placeholder:"DIR" help:"Where man/ and completions/ are made."`
}

func (c *docsCommand) run(app *kong.Application) error {
	files := map[string]string{
		"completions/rstserver.bash": kongdocs.Bash(app),
		"completions/_rstserver":     kongdocs.Zsh(app),
		"completions/rstserver.fish": kongdocs.Fish(app),
	}
	for name, text := range kongdocs.ManPages(app) {
		files["man/"+name] = text
	}
	for name, text := range files {
		path := filepath.Join(c.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("cannot make the directory of what is written: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
