//go:build linux

package linger

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"syscall"
)

// bottom returns what has the descriptor of c, a listener or a connection: c itself, if it has SyscallConn, or what c is around. That is
// what its NetConn returns, as crypto/tls has it, or its Raw, as go-proxyproto has it, or what stands in its field Listener or Conn,
// embedded or not.
func bottom(c any) (syscall.Conn, error) {
	around := c
	for range mostAround {
		switch t := around.(type) {
		case *Listener:
			return nil, errAlready
		case syscall.Conn:
			return t, nil
		case interface{ NetConn() net.Conn }:
			around = t.NetConn()
		case interface{ Raw() net.Conn }:
			around = t.Raw()
		default:
			if around = field(t); around == nil {
				return nil, fmt.Errorf("the descriptor of a %T cannot be reached: it has no SyscallConn, no NetConn, and no field Listener or Conn", c)
			}
		}
	}
	return nil, fmt.Errorf("the descriptor of a %T cannot be reached: it is around itself", c)
}

// mostAround bounds how many there are around each other. Nobody has so many.
const mostAround = 32

var errAlready = errors.New("the listener is a Listener already")

// field returns the listener or connection that stands in a field called so, nil if there is none.
func field(around any) any {
	v := reflect.ValueOf(around)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for _, name := range [...]string{"Listener", "Conn"} {
		f, ok := v.Type().FieldByName(name)
		if !ok {
			continue
		}
		below, err := v.FieldByIndexErr(f.Index)
		if err != nil || !below.CanInterface() { // behind a pointer that is nil, or a struct's that is not exported
			continue
		}
		switch below := below.Interface().(type) {
		case net.Listener:
			return below
		case net.Conn:
			return below
		}
	}
	return nil
}

// reach returns the way to the descriptor of c.
func reach(c any) (syscall.RawConn, error) {
	sc, err := bottom(c)
	if err != nil {
		return nil, err
	}
	return sc.SyscallConn()
}

// addresses are those of the connection itself, which one around it may change, or wait for.
func addresses(c net.Conn) (local, remote net.Addr) {
	if sc, err := bottom(c); err == nil {
		if below, ok := sc.(net.Conn); ok {
			c = below
		}
	}
	return c.LocalAddr(), c.RemoteAddr()
}

// unreachableError is returned by Accept for a connection whose descriptor cannot be reached. The next one may be another kind, so it
// is temporary, for servers that go on then, as net/http and gRPC do.
type unreachableError struct{ err error }

func (e *unreachableError) Error() string {
	return fmt.Sprintf("linger: Accept: %v; the connection was closed", e.err)
}

func (e *unreachableError) Unwrap() error   { return e.err }
func (e *unreachableError) Timeout() bool   { return false }
func (e *unreachableError) Temporary() bool { return true }

var _ net.Error = (*unreachableError)(nil)
