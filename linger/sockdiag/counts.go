package sockdiag

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Counts holds a number of sockets for each State, which is the index.
type Counts [NewSynRecv + 1]int

// add counts one socket. A state beyond the table is counted too, so that no socket is ever lost.
func (c *Counts) add(state uint8) {
	if int(state) >= len(c) {
		state = uint8(Unknown)
	}
	c[state]++
}

// Total is the number of sockets in all states.
func (c Counts) Total() int {
	total := 0
	for _, n := range c {
		total += n
	}
	return total
}

// String lists the states that occur, the most frequent first: "TIME_WAIT 3, ESTABLISHED 1". It is "none" where
// there is nothing to list.
func (c Counts) String() string {
	states := c.states()
	if len(states) == 0 {
		return "none"
	}
	slices.SortStableFunc(states, func(a, b State) int { return cmp.Compare(c[b], c[a]) })
	var b strings.Builder
	for i, s := range states {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.String())
		b.WriteByte(' ')
		b.WriteString(strconv.Itoa(c[s]))
	}
	return b.String()
}

// MarshalJSON gives an object with a member for each state that occurs: {"established":1,"time_wait":3}.
func (c Counts) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, s := range c.states() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, strings.ToLower(s.String())...)
		b = append(b, '"', ':')
		b = strconv.AppendInt(b, int64(c[s]), 10)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON takes what MarshalJSON gives. After an error c is as it was.
func (c *Counts) UnmarshalJSON(b []byte) error {
	var m map[State]int
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*c = Counts{}
	for s, n := range m {
		c[s] = n
	}
	return nil
}

// states returns those with a count, in the kernel's order.
func (c Counts) states() []State {
	var states []State
	for s, n := range c {
		if n != 0 {
			states = append(states, State(s))
		}
	}
	return states
}
