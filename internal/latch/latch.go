// Package latch asks channels of which nothing but the close matters: something has happened, for good.
package latch

// IsClosed reports whether c is closed. Nothing is sent to c.
func IsClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
