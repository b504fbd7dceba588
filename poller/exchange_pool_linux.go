//go:build linux

package poller

import (
	"container/list"
	"context"
	"sync"
	"time"

	"rstserver/httpcodec"
)

// pool runs exchanges on goroutines of its own, the workers, which are kept for the next exchange: their stacks have grown
// to what handlers need. All methods may be called from any goroutine, and none of them waits for a handler.
type pool struct {
	max int // workers at a time; 0: no bound

	mu      sync.Mutex // guards what follows
	all     map[*worker]struct{}
	idle    []*worker // the last one is the one that was busy last
	unused  int       // how many of idle, from the first one on, have not been needed since trim
	running int       // jobs that workers have
	queue   list.List // of job, and of chan struct{} for those who only ask to be counted
	trimmer *time.Timer
	stopped bool
}

// trimInterval is how often workers are let go that were idle all the time since.
const trimInterval = 10 * time.Second

// job is what a worker does: an exchange, or a task.
type job interface{ serve(w *worker) }

// task is a job that is done in any case: by a goroutine of its own where the pool is at its end.
type task func()

func (t task) serve(*worker) { t() }

// worker is a goroutine of the pool, and what it keeps from one exchange for the next.
type worker struct {
	pool *pool
	next chan job // capacity 1; closed to let the worker go
	job  job      // guarded by pool.mu, as is id
	id   []byte   // of the goroutine; see caller

	// Owned by the exchange that the worker serves.
	fields  []httpcodec.HeaderField
	out     []byte
	content []byte
	tail    [16]byte // what stands behind content
}

func newPool(most int) *pool { return &pool{max: most, all: make(map[*worker]struct{})} }

// submit gives j to a worker, as soon as there is one for it.
func (p *pool) submit(j job) {
	p.mu.Lock()
	if p.stopped {
		if t, ok := j.(task); ok {
			p.aloneLocked(t)
		}
		p.mu.Unlock()
		return
	}
	if p.fullLocked() {
		queued := p.queue.PushBack(j)
		if x, ok := j.(*exchange); ok {
			x.queued = queued
		}
		p.mu.Unlock()
		return
	}
	p.running++
	begin := p.giveLocked(j)
	p.mu.Unlock()
	begin()
}

// fullLocked reports whether whoever comes has to wait.
func (p *pool) fullLocked() bool { return p.max != 0 && p.running >= p.max }

// giveLocked gives j, which is counted, to a worker. That begins with it by what is returned.
func (p *pool) giveLocked(j job) (begin func()) {
	if len(p.idle) == 0 {
		w := p.startLocked(j)
		return func() { go w.run(j) }
	}
	w := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	p.unused = min(p.unused, len(p.idle))
	w.job = j
	return func() { w.next <- j }
}

// enter counts the caller, who has a goroutine of his own, among those who run, and waits until that is allowed, or ctx ends. It reports
// whether the caller has to call leave.
func (p *pool) enter(ctx context.Context) bool {
	p.mu.Lock()
	if !p.fullLocked() {
		p.running++
		p.mu.Unlock()
		return true
	}
	if p.stopped {
		p.mu.Unlock()
		return false
	}
	turn := make(chan struct{})
	place := p.queue.PushBack(turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-turn:
		return true
	default:
		if !p.stopped {
			p.queue.Remove(place)
		}
		return false
	}
}

// leave is the end of enter.
func (p *pool) leave() {
	p.mu.Lock()
	p.running--
	begin := func() {}
	if j := p.nextLocked(); j != nil {
		begin = p.giveLocked(j)
	}
	p.mu.Unlock()
	begin()
}

// withdraw drops x if it waits for a worker: its time is over, and however long others wait, nothing is to be held for it.
func (p *pool) withdraw(x *exchange) {
	if p.max == 0 {
		return // nothing ever waits
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.queued != nil && !p.stopped {
		p.queue.Remove(x.queued)
		x.queued = nil
	}
}

// startLocked makes a worker that has j already.
func (p *pool) startLocked(j job) *worker {
	w := &worker{pool: p, next: make(chan job, 1), job: j}
	p.all[w] = struct{}{}
	return w
}

func (w *worker) run(j job) {
	id := goroutineID()
	w.pool.mu.Lock()
	w.id = id
	w.pool.mu.Unlock()
	returned := false
	defer func() {
		if !returned {
			// The handler has called runtime.Goexit, so this goroutine is at its end.
			w.pool.replace(w)
		}
	}()
	for j != nil {
		j.serve(w)
		j = w.pool.proceed(w)
	}
	returned = true
}

// proceed returns the next job for w, or nil when w is to end.
func (p *pool) proceed(w *worker) job {
	p.mu.Lock()
	w.job = nil
	p.running--
	if p.stopped {
		delete(p.all, w)
		p.mu.Unlock()
		return nil
	}
	if j := p.nextLocked(); j != nil {
		w.job = j
		p.mu.Unlock()
		return j
	}
	p.idle = append(p.idle, w)
	if p.trimmer == nil {
		p.trimmer = time.AfterFunc(trimInterval, p.trim)
	}
	p.mu.Unlock()
	return <-w.next // nil when closed
}

// nextLocked lets the next one run who waits, and returns it if it needs a worker.
func (p *pool) nextLocked() job {
	first := p.queue.Front()
	if first == nil || p.stopped {
		return nil
	}
	p.running++
	switch next := p.queue.Remove(first).(type) {
	case *exchange:
		next.queued = nil
		return next
	case task:
		return next
	case chan struct{}:
		close(next)
	}
	return nil
}

// replace drops a worker whose goroutine has ended, and starts another one if there is work for it.
func (p *pool) replace(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, w)
	p.running--
	if j := p.nextLocked(); j != nil {
		go p.startLocked(j).run(j)
	}
}

// trim lets workers go that were not needed since it was last called.
func (p *pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	for _, w := range p.idle[:p.unused] {
		delete(p.all, w)
		close(w.next)
	}
	p.idle = append([]*worker(nil), p.idle[p.unused:]...)
	p.unused = len(p.idle)
	if len(p.all) == 0 {
		p.trimmer = nil
		return
	}
	p.trimmer.Reset(trimInterval)
}

// busy returns the exchanges that workers have.
func (p *pool) busy() []*exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	var xs []*exchange
	for w := range p.all {
		if x, ok := w.job.(*exchange); ok {
			xs = append(xs, x)
		}
	}
	return xs
}

// stop lets the workers go, those that run a handler when it has returned. Exchanges that wait are dropped; tasks are not.
func (p *pool) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.trimmer != nil {
		p.trimmer.Stop()
	}
	for _, w := range p.idle {
		delete(p.all, w)
		close(w.next)
	}
	p.idle = nil
	for e := p.queue.Front(); e != nil; e = e.Next() {
		if t, ok := e.Value.(task); ok {
			p.aloneLocked(t)
		}
	}
	p.queue.Init()
}

// aloneLocked runs t on a goroutine of its own, as there are no workers any more.
func (p *pool) aloneLocked(t task) {
	p.running++
	go func() {
		defer func() {
			p.mu.Lock()
			p.running--
			p.mu.Unlock()
		}()
		t()
	}()
}

// handlers is how many handlers run at present.
func (p *pool) handlers() int {
	running, _ := p.load()
	return int(running)
}

// load is how many jobs run at present, and how many wait.
func (p *pool) load() (running, waiting int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.running), int64(p.queue.Len())
}
