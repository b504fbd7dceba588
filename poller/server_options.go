package poller

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"rstserver/httpcodec"
)

// config is a copy of a Server's options with the defaults filled in. Immutable.
type config struct {
	loops                         int
	maxConns                      int
	connsPerClient, ratePerClient int // 0: any
	proxyProtocol                 bool
	trustedProxies                []netip.Prefix
	maxHandlers                   int // 0: no bound
	maxHandshakes                 int
	handshakeTimeout              time.Duration // 0: none, here and below
	headerTimeout                 time.Duration
	bodyTimeout                   time.Duration
	handlerTimeout                time.Duration
	writeTimeout                  time.Duration
	upgradeIdle                   time.Duration
	minBodyRate                   int64 // bytes per second; 0: none, here and below
	minWriteRate                  int64
	rateGrace                     time.Duration
	delay                         time.Duration
	queue                         time.Duration
	lameDuck                      time.Duration
	spread                        time.Duration
	idleTimeout                   time.Duration
	maxHeaderBytes                int
	maxFields                     int
	maxLoopBodyBytes              int64 // of content for the loop handler where loopContent is nil; 0: no bound
	loopContent                   func(*httpcodec.Request) int64
	maxBodyBytes                  int64 // of content for the handler; 0: no bound
	maxOutputBytes                int
	maxBufferedBytes              int64 // 0: no bound
	stuckGrace                    time.Duration
	arm                           bool
	shared                        bool
	sweep                         bool
	loopHandler                   LoopHandler // nil if there is none
	handler                       http.Handler
	tls                           *tls.Config // nil: there is no TLS
	protocols                     http.Protocols
	onLoop                        func(*httpcodec.Request) bool // nil: one of the handlers answers everything
	log                           *slog.Logger
}

func (s *Server) config() (config, error) {
	c := config{
		loops:          or(s.Loops, runtime.GOMAXPROCS(0)),
		maxConns:       s.MaxConns,
		connsPerClient: s.MaxConnsPerClient, ratePerClient: s.ConnRatePerClient,
		proxyProtocol:    s.ProxyProtocol,
		maxHandlers:      s.MaxHandlers,
		maxHandshakes:    or(s.MaxHandshakes, DefaultMaxHandshakes),
		handshakeTimeout: timeout(s.HandshakeTimeout, DefaultHandshakeTimeout),
		headerTimeout:    timeout(s.HeaderTimeout, DefaultHeaderTimeout),
		bodyTimeout:      timeout(s.BodyTimeout, DefaultBodyTimeout),
		handlerTimeout:   timeout(s.HandlerTimeout, 0),
		minBodyRate:      max(or(s.MinBodyRate, DefaultMinBodyRate), 0),
		minWriteRate:     s.MinWriteRate,
		rateGrace:        or(s.RateGrace, DefaultRateGrace),
		upgradeIdle:      timeout(s.UpgradeIdle, 0),
		writeTimeout:     timeout(s.WriteTimeout, DefaultWriteTimeout),
		delay:            s.Delay,
		queue:            max(or(s.Queue, DefaultQueue), 0),
		lameDuck:         s.LameDuck,
		spread:           s.Spread,
		idleTimeout:      timeout(s.IdleTimeout, DefaultIdleTimeout),
		maxHeaderBytes:   or(s.MaxHeaderBytes, DefaultMaxHeaderBytes),
		maxFields:        or(s.MaxFields, DefaultMaxFields),
		maxLoopBodyBytes: max(or(s.MaxBodyBytes, DefaultLoopContent), 0),
		maxBodyBytes:     max(s.MaxBodyBytes, 0),
		loopContent:      s.LoopContent,
		maxOutputBytes:   or(s.MaxOutputBytes, DefaultMaxOutputBytes),
		maxBufferedBytes: max(s.MaxBufferedBytes, 0),
		stuckGrace:       or(s.StuckGrace, DefaultStuckGrace),
		arm:              !s.NoArm,
		shared:           s.Shared,
		sweep:            s.Sweep,
		loopHandler:      s.LoopHandler,
		handler:          s.Handler,
		onLoop:           s.OnLoop,
		log:              s.Logger,
	}
	if c.loopHandler == nil && c.handler == nil {
		c.handler = http.DefaultServeMux
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if s.Protocols == nil {
		c.protocols.SetHTTP1(true)
		c.protocols.SetHTTP2(true)
		c.protocols.SetUnencryptedHTTP2(true)
	} else if c.protocols = *s.Protocols; !c.protocols.HTTP1() {
		return c, fmt.Errorf("poller: Server.Protocols is %s; HTTP/1 is always served: call SetHTTP1(true)", s.Protocols)
	}
	if s.MaxBufferedBytes == 0 {
		c.maxBufferedBytes = defaultMaxBufferedBytes()
	} else if err := checkMaxBuffered(s.MaxBufferedBytes); err != nil {
		return c, err
	}
	for _, n := range s.TrustedProxies {
		if !n.IsValid() {
			return c, errors.New("poller: Server.TrustedProxies has a network that is not valid; netip.ParsePrefix makes one of 10.0.0.0/8")
		}
		if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
		}
		c.trustedProxies = append(c.trustedProxies, n)
	}
	if c.proxyProtocol != (len(c.trustedProxies) > 0) {
		return c, errors.New("poller: Server.ProxyProtocol and TrustedProxies need each other: nobody is believed that is not named there")
	}
	if err := c.checkHandlers(); err != nil {
		return c, err
	}
	for _, v := range []struct {
		name string
		n    int64
		most int64
	}{
		{"Loops", int64(s.Loops), maxLoops},
		{"MaxConns", int64(s.MaxConns), maxOption},
		{"MaxConnsPerClient", int64(s.MaxConnsPerClient), maxOption},
		{"ConnRatePerClient", int64(s.ConnRatePerClient), maxOption},
		{"MaxHandlers", int64(s.MaxHandlers), maxOption},
		{"MaxHandshakes", int64(s.MaxHandshakes), maxOption},
		{"MaxHeaderBytes", int64(s.MaxHeaderBytes), maxOption},
		{"MaxFields", int64(s.MaxFields), maxOption},
		{"MaxOutputBytes", int64(s.MaxOutputBytes), maxOption},
		{"MinWriteRate", s.MinWriteRate, maxOption},
		{"RateGrace", int64(s.RateGrace), int64(time.Hour)},
		{"StuckGrace", int64(s.StuckGrace), int64(time.Hour)},
		{"Delay", int64(s.Delay), int64(maxPart)},
		{"Queue", max(int64(s.Queue), 0), int64(maxPart)},
		{"LameDuck", int64(s.LameDuck), int64(maxPart)},
		{"Spread", int64(s.Spread), int64(maxPart)},
	} {
		if v.n < 0 || v.n > v.most {
			return c, fmt.Errorf("poller: Server.%s is %d; it must be 0 (the default) to %d", v.name, v.n, v.most)
		}
	}
	return c, checkFileLimit(c.maxConns)
}

// LeastMaxBufferedBytes is the least bound that Server.MaxBufferedBytes can be: below it, a few connections that do nothing wrong would have others
// reset.
const LeastMaxBufferedBytes = 1 << 20

// checkMaxBuffered refuses a bound that is lower.
func checkMaxBuffered(n int64) error {
	if n > 0 && n < LeastMaxBufferedBytes {
		return fmt.Errorf("poller: a bound of %d buffered bytes (MaxBufferedBytes); it must be at least %d (1 MiB), or negative for none", n, LeastMaxBufferedBytes)
	}
	return nil
}

// checkHandlers refuses handlers of which it would not be clear which one is to answer.
func (c *config) checkHandlers() error {
	both := c.loopHandler != nil && c.handler != nil
	switch {
	case both && c.onLoop == nil:
		return errors.New("poller: Server has a Handler and a LoopHandler; OnLoop has to say which one answers a request")
	case !both && c.onLoop != nil:
		return errors.New("poller: Server.OnLoop needs a Handler and a LoopHandler to choose from")
	}
	return nil
}

const (
	maxLoops  = 1024
	maxOption = 1<<31 - 1
	maxPart   = 365 * 24 * time.Hour // of a drain
)

// or returns v, or the default where v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// timeout maps an option (0: the default, negative: none) to a duration that is 0 for none. The greatest durations are a
// common way to say for ever, and would overflow when added to a time.
func timeout(v, def time.Duration) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	if v > century {
		return 0
	}
	return max(or(v, def), 0)
}
