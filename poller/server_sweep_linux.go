//go:build linux

package poller

import "rstserver/linger"

// noteResidue looks for what ordinary closes have left, while the listener is there.
func (r *run) noteResidue() {
	if r.residue != nil {
		r.residue.Note(r.listener.addr)
	}
}

// noteClosed remembers a connection that ends in order, while its descriptor is open.
func (r *run) noteClosed(fd int) {
	if r.residue == nil {
		return
	}
	// Before Linux 4.6 sockets have no cookies, and nothing of them can be swept.
	if cookie, err := linger.Cookie(fd); err == nil {
		r.residue.Closed(cookie)
	}
}

// destroyResidue ends what ordinary closes have left, once all connections have ended. ended are those that were aborted. It
// returns nil if nothing is to be swept.
func (r *run) destroyResidue(ended []uint64) *linger.Swept {
	if r.residue == nil {
		return nil
	}
	swept := r.residue.Destroy(r.listener.addr.Port(), ended)
	return &swept
}
