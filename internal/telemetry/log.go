// Package telemetry is what the processes tell about themselves: structured logs with correlation ids, and Prometheus metrics. It decides
// form, not content: no caller may put personal data into a message, an attribute or a label.
package telemetry

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.temporal.io/sdk/log"
)

// NewLogger returns a logger that writes to w in the format "json" or "text" from the level "debug", "info", "warn" or "error" on.
// Every record made with a context carries that context's correlation id as the attribute correlation_id.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	minimum, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: minimum}
	switch format {
	case "json":
		return slog.New(correlating{slog.NewJSONHandler(w, options)}), nil
	case "text":
		return slog.New(correlating{slog.NewTextHandler(w, options)}), nil
	default:
		return nil, fmt.Errorf("log format %q is neither json nor text", format)
	}
}

func parseLevel(level string) (slog.Level, error) {
	switch strings.ToLower(level) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
}

// TemporalLogger lets the Temporal SDK log through logger.
func TemporalLogger(logger *slog.Logger) log.Logger { return log.NewStructuredLogger(logger) }

type correlationKey struct{}

// NewCorrelationID returns a random id that ties an answer to its log records. An id of a caller's may take its place only when it has the form of
// one, since a caller could write anything into the logs otherwise.
func NewCorrelationID() string { return rand.Text() }

// WithCorrelationID returns a context that carries the id.
func WithCorrelationID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}

// CorrelationID returns the id that ctx carries, or "".
func CorrelationID(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey{}).(string)
	return id
}

// correlating adds the context's correlation id to each record.
type correlating struct{ slog.Handler }

func (h correlating) Handle(ctx context.Context, record slog.Record) error {
	if id := CorrelationID(ctx); id != "" {
		record = record.Clone()
		record.AddAttrs(slog.String("correlation_id", id))
	}
	return h.Handler.Handle(ctx, record)
}

func (h correlating) WithAttrs(attrs []slog.Attr) slog.Handler {
	return correlating{h.Handler.WithAttrs(attrs)}
}

func (h correlating) WithGroup(name string) slog.Handler {
	return correlating{h.Handler.WithGroup(name)}
}
