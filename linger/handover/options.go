package handover

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"rstserver/linger"
)

// Defaults of the fields of [Options].
const (
	DefaultTimeout = 10 * time.Second
	DefaultDrain   = 30 * time.Second
)

// Options are those of a [Handover]. The zero value works. It is not written to.
type Options struct {
	// Listen is the options of the listeners. They are Shared in any case.
	Listen linger.ListenConfig
	// Open opens a listening socket that is not inherited, a *net.TCPListener. Nil means net.ListenConfig without MPTCP.
	Open func(ctx context.Context, network, address string) (net.Listener, error)
	// Timeout is how long a successor may say nothing before it is ready: from its start to New, and from there to Ready, or to the next Fail or Listen
	// that fails. Then it is killed. Zero means DefaultTimeout.
	Timeout time.Duration
	// Signals have Run hand over. None: only calls of HandOver do.
	Signals []os.Signal
	// Drain bounds the time that Run gives the server, once a successor has taken over, to come to its end; then what is left is reset.
	// Zero means DefaultDrain, negative no bound.
	Drain time.Duration
	// PIDFile is a file that Ready writes the number of the process to, and a newline. It is replaced by a rename, so that nobody reads
	// half of it. Close removes it, unless somebody else's number is in it. Empty: none. A relative path is one in the directory
	// that the program was started in.
	PIDFile string
	// Env is the environment of successors, in the form of os.Environ. Nil means that of this process when HandOver is called.
	// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are set, and WATCHDOG_PID if there is one.
	Env []string
	// Logger takes the messages of Run. Nil means slog.Default().
	Logger *slog.Logger
}

// check returns an error that names the option that makes no sense.
func (o Options) check() error {
	const most = 365 * 24 * time.Hour // beyond it is a number in the wrong unit
	switch {
	case o.Timeout < 0 || o.Timeout > most:
		return fmt.Errorf("handover: Options.Timeout is %s; it must be 0 (the default) to %s", o.Timeout, most)
	case o.Drain > most:
		return fmt.Errorf("handover: Options.Drain is %s; it must be %s at the most", o.Drain, most)
	}
	return nil
}

// withDefaults returns a copy in which they are filled in.
func (o Options) withDefaults() Options {
	o.Listen.Shared = true
	if o.Open == nil {
		o.Open = func(ctx context.Context, network, address string) (net.Listener, error) {
			var lc net.ListenConfig
			lc.SetMultipathTCP(false)
			return lc.Listen(ctx, network, address)
		}
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
