package poller

import (
	"sync/atomic"
	"time"

	"rstserver/httpcodec"
)

// date is the Date field (RFC 9110, section 6.6.1) for answers that are not written by a loop, which has a clock. Any
// goroutine may use it.
type date struct{ last atomic.Pointer[stamp] }

// stamp is the field's value for one second. Immutable.
type stamp struct {
	second int64
	value  []byte
}

// now is the value for the present second. It must not be changed.
func (d *date) now() []byte {
	t := time.Now()
	if s := d.last.Load(); s != nil && s.second == t.Unix() {
		return s.value
	}
	s := &stamp{t.Unix(), httpcodec.AppendDate(nil, t)}
	d.last.Store(s)
	return s.value
}
