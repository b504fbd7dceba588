package linger

import (
	"errors"
	"fmt"
	"strings"

	"rstserver/internal/prose"
)

// Swept says what [Residue.Destroy] has come to.
type Swept struct {
	// Destroyed is the number of sockets that the kernel has ended.
	Destroyed int `json:"destroyed"`
	// Refused is the number of those that it has not, although they were the server's.
	Refused int `json:"refused"`
	// Reason says why the first was refused, or why nobody could look for them; it is empty when all went well.
	Reason string `json:"reason,omitempty"`
}

// String is the value of a row of the Report.
func (s Swept) String() string {
	text := prose.Grouped(s.Destroyed) + " destroyed that ordinary closes had left"
	switch {
	case s.Refused > 0:
		text += fmt.Sprintf(", %s refused: %s", prose.Grouped(s.Refused), s.Reason)
	case s.Reason != "":
		text += ": " + s.Reason
	}
	return text
}

var errNoNetlink = errors.New("linger: the kernel does not list its sockets over netlink")

// reason is an error as part of a sentence.
func reason(err error) string {
	s := strings.ReplaceAll(err.Error(), "\n", "; ")
	for _, room := range [...]string{"linger: ", "sockdiag: "} {
		s = strings.TrimPrefix(s, room)
	}
	return s
}
