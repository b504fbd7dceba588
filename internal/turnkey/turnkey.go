// Package turnkey has the key by which a context leads to the turn of its connection in a drain.
package turnkey

// Key is that of a value with the method Turn() context.Context.
type Key struct{}
