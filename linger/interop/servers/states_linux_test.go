//go:build linux

package servers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rstserver/linger/interop/internal/fleet"
)

// talk says what begins with > and reads lines until one has what stands behind <.
func talk(steps ...string) func(*fleet.RawClient) error {
	return func(c *fleet.RawClient) error {
		for _, step := range steps {
			if said, ok := strings.CutPrefix(step, ">"); ok {
				if err := c.Send(said); err != nil {
					return err
				}
				continue
			}
			for want, got := step[1:], []byte(nil); !strings.Contains(string(got), want); {
				b, err := c.Reader.ReadByte()
				if err != nil {
					return fmt.Errorf("after %q: %w", got, err)
				}
				got = append(got, b)
			}
		}
		return nil
	}
}

// spoken are the states of a protocol of text: all that is said, but for the last step, is one exchange; the last is part of a request.
func spoken(steps ...string) func(testing.TB) []fleet.State {
	last := len(steps) - 1
	return func(testing.TB) []fleet.State {
		return []fleet.State{
			{Name: "new", Open: fleet.Raw(talk())},
			{Name: "idle", Open: fleet.Raw(talk(steps[:last]...))},
			{Name: "half a request", Open: fleet.Raw(talk(steps...))},
		}
	}
}

// webStates are those of servers with the handlers of net/http.
func webStates(testing.TB) []fleet.State {
	return append(fleet.HTTPStates(fleet.Raw), fleet.State{Name: "new", Open: fleet.Raw(fleet.Sends(""))})
}

// plainStates are those of servers that have few paths.
func plainStates(testing.TB) []fleet.State {
	return append(briefStates(fleet.Raw), fleet.State{Name: "new", Open: fleet.Raw(fleet.Sends(""))})
}

// briefStates are those in which any server of HTTP/1.1 has connections that have sent something.
func briefStates(open fleet.Opener) []fleet.State {
	return slices.DeleteFunc(fleet.HTTPStates(open), func(s fleet.State) bool {
		return !slices.Contains([]string{"idle", "half a request", "in a handler"}, s.Name)
	})
}

func fastStates(testing.TB) []fleet.State { return fleet.FastStates(fleet.Raw) }
