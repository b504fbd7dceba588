//go:build linux

package poller

import (
	"errors"
	"net"
	"time"
)

// lentConn is what ConnContext gets to see of a connection: its addresses.
type lentConn struct{ local, remote net.Addr }

// errOwned is what its other methods return.
var errOwned = errors.New("poller: the connection belongs to the server; a handler can take it over with Hijack")

func (c lentConn) LocalAddr() net.Addr            { return c.local }
func (c lentConn) RemoteAddr() net.Addr           { return c.remote }
func (lentConn) Read([]byte) (int, error)         { return 0, errOwned }
func (lentConn) Write([]byte) (int, error)        { return 0, errOwned }
func (lentConn) Close() error                     { return errOwned }
func (lentConn) SetDeadline(time.Time) error      { return errOwned }
func (lentConn) SetReadDeadline(time.Time) error  { return errOwned }
func (lentConn) SetWriteDeadline(time.Time) error { return errOwned }
