//go:build linux

package poller

import (
	"net"
	"time"
)

// lentConn is what ConnContext gets to see of a connection: its addresses.
type lentConn struct{ local, remote net.Addr }

// errOwned is what its other methods return. It says that it passes, or crypto/tls would read nothing more, for nobody.
var errOwned net.Error = owned{}

type owned struct{}

func (owned) Error() string {
	return "poller: the connection belongs to the server; a handler can take it over with Hijack"
}
func (owned) Timeout() bool   { return false }
func (owned) Temporary() bool { return true }

func (c lentConn) LocalAddr() net.Addr            { return c.local }
func (c lentConn) RemoteAddr() net.Addr           { return c.remote }
func (lentConn) Read([]byte) (int, error)         { return 0, errOwned }
func (lentConn) Write([]byte) (int, error)        { return 0, errOwned }
func (lentConn) Close() error                     { return errOwned }
func (lentConn) SetDeadline(time.Time) error      { return errOwned }
func (lentConn) SetReadDeadline(time.Time) error  { return errOwned }
func (lentConn) SetWriteDeadline(time.Time) error { return errOwned }
