//go:build !linux

package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// ListenUnix returns an error that wraps [errors.ErrUnsupported].
func ListenUnix(path string, takesOver bool) (net.Listener, error) {
	return nil, fmt.Errorf("admin: %w", errors.ErrUnsupported)
}

// ConnContext puts the client's address into the context, for audit lines.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{Address: c.RemoteAddr().String()})
}
