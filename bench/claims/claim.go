package main

import (
	"fmt"
	"strings"

	"rstserver/internal/prose"
)

// claim is a sentence of a file of the repository, and how its figure is measured.
type claim struct {
	File string
	// Says is a part of the sentence, with one blank where the file has several, or a line's end.
	Says string
	// By is the command that measures it, and Figure reads what it has printed.
	By     []string
	Figure func(text string) (float64, error)
	// Claimed is the greatest figure that is claimed, or the least with AtLeast.
	Claimed float64
	AtLeast bool
	Unit    string
	// Slack is the share of Claimed by which a figure may be worse: there is another hour, and another machine.
	Slack float64
}

// What figures of different kinds may be off by. That of times is for machines that are slower, that of ratios for the scatter of two medians.
const (
	ofTime   = 0.5
	ofRatio  = 0.15
	ofMemory = 0.1
	exact    = 0
)

// Verdicts.
const (
	holds    = "holds"
	fails    = "FAILS"
	unproven = "not measured"
)

// bound is the worst figure with which the claim holds.
func (c claim) bound() float64 {
	if c.AtLeast {
		return c.Claimed * (1 - c.Slack)
	}
	return c.Claimed * (1 + c.Slack)
}

// claimed says what is claimed, and what holds.
func (c claim) claimed() string {
	sign := "≤"
	if c.AtLeast {
		sign = "≥"
	}
	return strings.TrimSpace(fmt.Sprintf("%s, %s %s", number(c.Claimed), sign, number(c.bound())) + " " + c.Unit)
}

// verdict is the figure now, and whether the claim holds. A command that fails may have measured all the same.
func (c claim) verdict(out output) (now, verdict string) {
	figure, err := c.Figure(out.text)
	switch {
	case err != nil && out.err != nil:
		return out.err.Error(), unproven
	case err != nil:
		return err.Error(), unproven
	case !c.AtLeast && figure <= c.bound(), c.AtLeast && figure >= c.bound():
		return number(figure), holds
	}
	return number(figure), fails
}

func number(v float64) string {
	if v == 0 {
		return "0"
	}
	return prose.Significant(v)
}

// plain is text with one blank for whatever is between words, and without the marks of comments.
func plain(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		words = append(words, strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "//"))...)
	}
	return strings.Join(words, " ")
}
