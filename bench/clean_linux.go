//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rstserver/linger/sockdiag"
)

// longestLeft bounds the wait for sockets that cannot be destroyed: TIME_WAIT and FIN_WAIT2 take a minute each, and one can
// come after the other.
const longestLeft = 150 * time.Second

// clean sees to it that nothing is left on a port whose server has ended, so that the next run finds the machine as this
// one did: it destroys what is there, or waits for its end where that is not permitted. waiting is told, again and again, what
// it waits for. It returns the number of sockets that there were.
func clean(ctx context.Context, port uint16, waiting func(sockdiag.Counts)) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, longestLeft)
	defer cancel()
	most := 0
	var refusal error
	for {
		dump, err := sockdiag.Port(port)
		if err != nil {
			return most, err
		}
		if len(dump.Sockets) == 0 {
			return most, nil
		}
		most = max(most, len(dump.Sockets))
		if i := slices.IndexFunc(dump.Sockets, func(s sockdiag.Socket) bool { return s.HoldsPort() }); i >= 0 {
			holders, _, _ := dump.Holders()
			return most, fmt.Errorf("bench: port %d is still held, after its server was ended, by %v", port, holders)
		}
		pause := time.Millisecond
		if refusal == nil {
			done, err := sockdiag.Destroy(dump.Sockets)
			switch {
			case err != nil:
				refusal = err
			case len(done.Refused) > 0:
				refusal = done.Refused[0].Err
			}
		} else {
			pause = 100 * time.Millisecond
			waiting(dump.Count())
		}
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return most, context.Cause(ctx)
			}
			return most, fmt.Errorf("bench: %s are left on port %d after %s, and cannot be destroyed: %w", dump.Count(), port, longestLeft, refusal)
		case <-time.After(pause):
		}
	}
}
