//go:build linux

package kernel

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rstserver/linger/sockdiag"
)

// longestLeft bounds the wait for sockets that cannot be destroyed: TIME_WAIT and FIN_WAIT2 take a minute each, and one can
// come after the other.
const longestLeft = 150 * time.Second

// grace is how long a kernel thread may have a file of the server's that has ended, as io_uring's do.
const grace = time.Second

// destructions is how often sockets are destroyed in quick succession, before their end is waited for as well.
const destructions = 20

// Clean sees to it that nothing is left on a port whose server has ended, so that the next run finds the machine as this
// one did: it destroys what is there, or waits for its end where that is not permitted. waiting is told, again and again, what
// it waits for. It returns the number of the server's sockets that there were. An end of ctx ends the wait, but what can be destroyed is
// destroyed all the same.
func Clean(ctx context.Context, port uint16, waiting func(sockdiag.Counts)) (int, error) {
	began, over := time.Now(), time.NewTimer(longestLeft)
	defer over.Stop()
	most := 0
	var refusal error
	for looks := 0; ; {
		dump, err := sockdiag.Port(port)
		if err != nil {
			return most, err
		}
		if len(dump.Sockets) == 0 {
			return most, nil
		}
		most = max(most, len(withoutProbe(slices.Clone(dump.Sockets))))
		if i := slices.IndexFunc(dump.Sockets, func(s sockdiag.Socket) bool { return s.HoldsPort() }); i >= 0 {
			if time.Since(began) < grace {
				time.Sleep(time.Millisecond)
				continue
			}
			holders, _, _ := dump.Holders()
			return most, fmt.Errorf("bench: port %d is still held, after its server was ended, by %v", port, holders)
		}
		looks++
		// Who was refused once is not asked again. What the kernel says that it has destroyed may stay, if it is an orphan.
		pause, ended := time.Millisecond, (<-chan struct{})(nil)
		if refusal != nil || looks > destructions {
			pause, ended = 100*time.Millisecond, ctx.Done()
			waiting(dump.Count())
		}
		if refusal == nil {
			done, err := sockdiag.Destroy(dump.Sockets)
			switch {
			case err != nil:
				refusal = err
			case len(done.Refused) > 0:
				refusal = done.Refused[0].Err
			}
		}
		select {
		case <-ended:
			return most, context.Cause(ctx)
		case <-over.C:
			err := fmt.Errorf("bench: %s are left on port %d after %s", dump.Count(), port, longestLeft)
			if refusal != nil {
				err = fmt.Errorf("%w, and cannot be destroyed: %w", err, refusal)
			}
			return most, err
		case <-time.After(pause):
		}
	}
}
