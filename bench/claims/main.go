// Command claims measures again what the README files claim of speed and memory, and says what holds: make bench-claims. It takes some
// minutes, and a machine with nothing else to do: the figures are of one with two processors. It exits with 1 when a claim does not hold.
//
//	claims [-program FILE] [-peers DIR] [-only REGEXP]
//
// It is called in the folder of the module.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"

	"rstserver/internal/layout"
)

func main() {
	program := flag.String("program", "bin/rstserver", "rstserver: `FILE`")
	peers := flag.String("peers", "bin/peers", "`DIR` where make peers has put the others")
	only := flag.String("only", "", "claims alone whose file or sentence matches `REGEXP`")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: claims [-program FILE] [-peers DIR] [-only REGEXP]", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var some []claim
	for _, c := range claims(*program, *peers) {
		if pattern.MatchString(c.File + ": " + c.Says) {
			some = append(some, c)
		}
	}
	if err := judge(ctx, os.Stdout, os.Stderr, some); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errBroken is returned by judge when a claim does not hold.
var errBroken = errors.New("claims: some do not hold")

// judge runs each command once, and writes a line for each claim.
func judge(ctx context.Context, w, progress io.Writer, claims []claim) error {
	outputs := make(map[string]output) // by command
	t := layout.Text{Columns: 80}
	table := [][]string{{"claim", "now", "claimed", "verdict"}}
	var broken error
	for i, c := range claims {
		command := strings.Join(c.By, " ")
		out, ran := outputs[command]
		if !ran {
			fmt.Fprintf(progress, "claim %d of %d: %s\n", i+1, len(claims), command)
			out = carryOut(ctx, c.By)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			outputs[command] = out
		}
		now, verdict := c.verdict(out)
		if verdict != holds {
			broken = errBroken
		}
		table = append(table, []string{c.File + ": " + c.Says, now, c.claimed(), verdict})
	}
	t.Table(table, []bool{false, true, true, false})
	if _, err := io.WriteString(w, t.String()); err != nil {
		return err
	}
	return broken
}

// output is what a command has printed on its standard output.
type output struct {
	text string
	err  error
}

func carryOut(ctx context.Context, command []string) output {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, lastLine(stderr.String()+stdout.String()))
	}
	return output{stdout.String(), err}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
