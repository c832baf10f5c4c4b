package schemes

import (
	"context"
	"log/slog"
)

type loggerKey struct{}

// WithLogger returns a context for opening drivers. What one of ours, or its
// client, has to say goes to the logger, unless the driver's options name another:
// a URL cannot.
func WithLogger(ctx context.Context, to *slog.Logger) context.Context {
	return context.WithValue(ctx, loggerKey{}, to)
}

// Logger returns that logger, or nil.
func Logger(ctx context.Context) *slog.Logger {
	to, _ := ctx.Value(loggerKey{}).(*slog.Logger)
	return to
}
