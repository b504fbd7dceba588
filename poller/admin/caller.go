package admin

import (
	"context"
	"log/slog"
)

// caller is who asks for something.
type caller struct {
	UID      *int // nil: it is not known
	GID, PID int
	Address  string // of a client of TCP
}

type callerKey struct{}

// attrs are what a log line says of the caller.
func (c caller) attrs() []any {
	if c.UID == nil {
		return []any{slog.String("remote", c.Address)}
	}
	return []any{slog.Int("uid", *c.UID), slog.Int("gid", c.GID), slog.Int("pid", c.PID)}
}

func callerIn(ctx context.Context) caller {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		c.Address = "unknown"
	}
	return c
}
