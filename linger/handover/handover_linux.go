//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/claims"
)

// Handover is this process's place between a predecessor and a successor. Its methods may be called from any goroutine.
type Handover struct {
	options Options // immutable
	// predecessor is the way to it; nil if there is none.
	predecessor *net.UnixConn
	gone        chan struct{} // closed when the predecessor has ended, or there is none
	agreed      chan struct{} // closed when it has told this process to go ahead
	watching    sync.WaitGroup
	refused     atomic.Bool // the predecessor has given this process up
	left        atomic.Bool // a successor has taken over; stored under mu

	mu      sync.Mutex // guards what follows
	state   state
	sockets []*socket
	// before are descriptors of the channels of predecessors before the predecessor.
	before    []int
	exit      chan struct{} // see Exit
	lost      chan struct{} // see Lost
	cancel    context.CancelFunc
	handed    chan struct{} // closed when no HandOver is under way any more
	successor *successor    // that has taken over
	claims    []*claims.Claim
}

// state says how far a Handover is.
//
//	starting ──Ready──▶ serving ──HandOver──▶ handing ──the successor is ready──▶ handedOver
//	                       ▲                     │ it fails                           │ it dies
//	                       └─────────────────────┴────────────────────────────────────┘
//	any ──Close──▶ closed
type state int

const (
	starting state = iota
	serving
	handing
	handedOver
	closed
)

// New takes over what this process has inherited from a predecessor or from systemd, which it is called once for, before the process has
// opened anything. An error says what is wrong with the options, or with what was passed.
func New(o Options) (*Handover, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	sockets, channel, before, err := takeInheritance()
	h := &Handover{
		options: o.withDefaults(), sockets: sockets, before: before,
		gone: make(chan struct{}), agreed: make(chan struct{}), exit: make(chan struct{}), lost: make(chan struct{}), handed: make(chan struct{}),
	}
	close(h.handed)
	if channel >= 0 {
		conn, e := openChannel(channel)
		err = errors.Join(err, e)
		h.predecessor = conn
	}
	if h.predecessor != nil {
		_, _ = h.predecessor.Write([]byte(message{word: begun}.String()))
		h.watching.Go(h.watchPredecessor)
	} else {
		close(h.gone)
	}
	if err != nil {
		h.Fail(err)
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

// openChannel takes over the descriptor of a stream socket.
func openChannel(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "channel")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("handover: the channel: %w", err)
	}
	unixConn, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("handover: the channel is a %T", c)
	}
	return unixConn, nil
}

// watchPredecessor reads what the predecessor says, until it has ended.
func (h *Handover) watchPredecessor() {
	agreed := sync.OnceFunc(func() { close(h.agreed) })
	readMessages(h.predecessor, func(m message) {
		switch m.word {
		case goAhead:
			agreed()
		case refused:
			h.refused.Store(true)
		}
	})
	close(h.gone)
}

// Inherits reports whether there was a predecessor, whose successor this process is.
func (h *Handover) Inherits() bool { return h.predecessor != nil }

// Gone returns a channel that is closed when the predecessor has ended; at once if there was none.
func (h *Handover) Gone() <-chan struct{} { return h.gone }

// Ready says that this process can take over: everything that could fail has been done, and it listens on all that it is going to. It
// returns when the predecessor has agreed, and accepts nobody any more in a moment, or has died; only then may connections be accepted. It
// writes Options.PIDFile, and tells systemd.
//
// An error says that a socket was passed by systemd that was not asked for, whose clients would wait for ever, that the PID file could not
// be written, or that Close was called. The predecessor is told of it, and goes on. What a predecessor has had and Listen was not
// asked for is closed.
func (h *Handover) Ready() error {
	err := h.becomeReady()
	if err != nil {
		h.Fail(err)
	}
	return err
}

func (h *Handover) becomeReady() error {
	if err := h.checkTaken(); err != nil {
		return err
	}
	if h.predecessor != nil {
		// A predecessor that has died agrees to everything.
		_, _ = h.predecessor.Write([]byte(message{word: ready}.String()))
		select {
		case <-h.agreed:
		case <-h.gone:
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != starting || h.refused.Load() {
		return ErrClosed
	}
	h.state = serving
	if err := h.options.writePIDFile(); err != nil {
		// The predecessor has let go: it is too late to fail by what could not be seen before.
		h.options.Logger.Error("the PID file is not written", "error", err)
	}
	_ = Notify(fmt.Sprintf("READY=1\nMAINPID=%d", os.Getpid()))
	return nil
}

// checkTaken closes what nobody has asked for, and returns an error if there should be somebody.
func (h *Handover) checkTaken() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != starting {
		return errors.New("handover: Ready was called already, or Close")
	}
	if passed := h.passedLocked(); len(passed) > 0 {
		var asked []*socket
		for _, s := range h.sockets {
			if s.taken {
				asked = append(asked, s)
			}
		}
		return fmt.Errorf("handover: systemd has passed a socket for %s, which this program does not serve; it serves %s: have both name the same address",
			describe(passed), describe(asked))
	}
	if err := h.options.checkPIDFile(); err != nil {
		return err
	}
	kept := h.sockets[:0]
	for _, s := range h.sockets {
		if s.taken {
			kept = append(kept, s)
		} else {
			s.close()
		}
	}
	h.sockets = kept
	return nil
}

// Fail tells the predecessor why this process will not take over, which its HandOver returns when this process has ended. It does nothing
// without a predecessor, and after Ready.
func (h *Handover) Fail(why error) {
	h.mu.Lock()
	early := h.state == starting
	h.mu.Unlock()
	if early {
		h.note(why)
	}
}

// note sends a reason, which counts if this process does not become ready.
func (h *Handover) note(why error) {
	if h.predecessor != nil {
		_, _ = h.predecessor.Write([]byte(message{reason, why.Error()}.String()))
	}
}

// Exit returns a channel that is closed when a successor has taken over: the server is to accept nobody any more, by [rstserver/linger.Listener.HandOver] or
// [rstserver/poller.Server.HandOver], and the process to end. If the successor is lost, Exit returns another channel from then on.
func (h *Handover) Exit() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.exit
}

// Lost returns a channel that is closed when the successor that has taken over has died, before this process has ended. Then it is up to
// this process to serve: to Listen again, and accept; clients have waited in the queue meanwhile. It can hand over again. A
// successor that calls Close is not lost: its end was asked for, and this process lets go of the port too. From then on Lost returns another channel.
func (h *Handover) Lost() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Close lets go of the sockets, so that the server's own teardown, behind it, frees the port; it is called before that, or after a handover at
// the end of the process. A successor that is being started is killed, and HandOver returns [ErrClosed]. One that has taken over has the
// sockets too, and goes on. Predecessors that still drain let go of the port with this process. A second call does nothing. It returns nil.
func (h *Handover) Close() error {
	h.mu.Lock()
	was := h.state
	h.state = closed
	if was == handing {
		h.cancel()
	}
	handed := h.handed
	h.mu.Unlock()
	<-handed
	if was == closed {
		return nil
	}
	h.mu.Lock()
	h.dropLocked()
	for _, fd := range h.before {
		if was == serving || was == handing {
			_, _ = unix.Write(fd, []byte(message{word: stopping}.String()))
		}
		_ = unix.Close(fd)
	}
	h.before = nil
	next := h.successor
	h.successor = nil
	h.mu.Unlock()
	if next != nil {
		next.forget()
	}
	if h.predecessor != nil {
		if was == serving || was == handing {
			_, _ = h.predecessor.Write([]byte(message{word: stopping}.String()))
		}
		_ = h.predecessor.Close()
	}
	h.watching.Wait()
	if was != starting && was != handedOver {
		h.options.removePIDFile()
	}
	return nil
}

// dropLocked closes the sockets.
func (h *Handover) dropLocked() {
	for _, c := range h.claims {
		c.End()
	}
	h.claims = nil
	for _, s := range h.sockets {
		s.close()
	}
	h.sockets = nil
}

// HandOver starts a successor and returns nil when that has taken over: it accepts, and the servers of this process, which Exit tells to leave,
// do not any more, if they heed that within a second. Otherwise it returns why not, and this process goes on as if nothing had been: what the
// successor has said ([Handover.Fail]), how it has ended, or that it has said nothing for Options.Timeout, that ctx has ended,
// or one of [ErrNotReady], [ErrRunning], [ErrHandedOver], [ErrClosed] and [ErrFirstProcess]. It can be called again at once. A
// successor that fails has been killed by then, and has accepted nobody.
func (h *Handover) HandOver(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	switch h.state {
	case starting:
		h.mu.Unlock()
		return ErrNotReady
	case handing:
		h.mu.Unlock()
		return ErrRunning
	case handedOver:
		h.mu.Unlock()
		return ErrHandedOver
	case closed:
		h.mu.Unlock()
		return ErrClosed
	}
	if os.Getpid() == 1 {
		h.mu.Unlock()
		return ErrFirstProcess
	}
	h.state, h.cancel, h.handed = handing, cancel, make(chan struct{})
	defer close(h.handed)
	h.mu.Unlock()

	_ = Notify(reloading())
	err := h.handOver(ctx)
	if err != nil {
		h.mu.Lock()
		if h.state == closed {
			err = ErrClosed
		} else {
			h.state = serving
		}
		h.mu.Unlock()
		_ = Notify("READY=1")
		return err
	}
	h.awaitLeft()
	return nil
}

// handOver starts the successor and waits for it.
func (h *Handover) handOver(ctx context.Context) error {
	if err := checkProgram(); err != nil {
		return err
	}
	s, err := h.start()
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, h.options.Timeout); err != nil {
		s.kill()
		return err
	}
	h.mu.Lock()
	if h.state == closed { // the successor is ready, but this process is about to end all
		h.mu.Unlock()
		s.kill()
		return ErrClosed
	}
	s.leaveAlone()
	h.state, h.successor = handedOver, s
	h.left.Store(true)
	_ = Notify(fmt.Sprintf("MAINPID=%d\nREADY=1", s.process.Pid))
	close(h.exit)
	h.mu.Unlock()
	s.agree(h.successorEnded)
	return nil
}

// successorEnded is called when nobody serves any more who came after this process. asked says that this was asked for.
func (h *Handover) successorEnded(s *successor, asked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != handedOver || h.successor != s {
		return
	}
	if asked {
		h.dropLocked()
		return
	}
	h.state, h.successor = serving, nil
	h.left.Store(false)
	for _, c := range h.claims {
		c.End()
	}
	h.claims = nil
	if err := h.options.writePIDFile(); err != nil {
		h.options.Logger.Error("the PID file is not written", "error", err)
	}
	_ = Notify(fmt.Sprintf("MAINPID=%d", os.Getpid()))
	close(h.lost)
	h.exit, h.lost = make(chan struct{}), make(chan struct{})
}

// The servers of this process are looked at every leftInterval, for leftPatience at most.
const (
	leftInterval = 200 * time.Microsecond
	leftPatience = time.Second
)

// awaitLeft waits until no server of this process accepts any more.
func (h *Handover) awaitLeft() {
	for start := time.Now(); time.Since(start) < leftPatience; time.Sleep(leftInterval) {
		h.mu.Lock()
		served := h.state == handedOver && slices.ContainsFunc(h.sockets, (*socket).isServed)
		h.mu.Unlock()
		if !served {
			break
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != handedOver {
		return
	}
	for _, s := range h.sockets {
		// It is another's as well from here on, so that it stands in the way of no teardown.
		h.claims = append(h.claims, claims.New(s.addr.Port(), func() ([]uint64, bool) { return []uint64{s.cookie}, false }))
	}
}
