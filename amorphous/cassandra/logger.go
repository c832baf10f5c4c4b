package cassandra

import (
	"context"
	"log/slog"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous/cassandra/internal/cql"
)

// logger passes on what the client would write to stderr. What it calls an
// error is mostly a connection that broke, which every operation reports by
// itself, so nothing here is above a warning; and that the lines of a session
// which is closed have ended is no news.
type logger struct {
	to    *slog.Logger
	lines *cql.Lines
}

func (l logger) log(level slog.Level, msg string, fields []gocql.LogField) {
	if l.lines != nil {
		l.lines.Heard(msg)
	}
	if l.to == nil || !l.to.Enabled(context.Background(), level) || l.lines.HaveEnded() {
		return
	}
	attrs := make([]slog.Attr, len(fields))
	for i, f := range fields {
		attrs[i] = slog.String(f.Name, f.Value.String())
	}
	l.to.LogAttrs(context.Background(), level, "cassandra client: "+msg, attrs...)
}

func (l logger) Error(msg string, fields ...gocql.LogField)   { l.log(slog.LevelWarn, msg, fields) }
func (l logger) Warning(msg string, fields ...gocql.LogField) { l.log(slog.LevelWarn, msg, fields) }
func (l logger) Info(msg string, fields ...gocql.LogField)    { l.log(slog.LevelDebug, msg, fields) }
func (l logger) Debug(msg string, fields ...gocql.LogField)   { l.log(slog.LevelDebug, msg, fields) }
