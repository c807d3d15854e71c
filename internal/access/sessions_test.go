package access_test

import (
	"context"
	"errors"

	"github.com/mdocket/mdocket/internal/cache"
)

var errDown = errors.New("no connection")

// brokenSessions is a Redis that does not answer.
type brokenSessions struct{}

func (brokenSessions) PutSession(context.Context, string, string, cache.SessionTTL) error {
	return errDown
}

func (brokenSessions) Session(context.Context, string) (string, bool, error) {
	return "", false, errDown
}

func (brokenSessions) DeleteSession(context.Context, string) error { return errDown }

func (brokenSessions) DeleteSessionsOf(context.Context, string) error { return errDown }
