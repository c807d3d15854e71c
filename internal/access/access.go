// Package access finds out who is calling: local accounts with a password, sessions and API keys (I3), and what they may do (I1, I2). What
// an act needs is decided in internal/issuer.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

const (
	sessionLifetime = 8 * time.Hour
	sessionIdle     = time.Hour
	sessionPrefix   = "mds_"
	apiKeyPrefix    = "mdk_"

	maxFailures  = 5
	lockDuration = 15 * time.Minute
)

// Sessions keeps sign-ins that may be lost: whoever was signed in signs in again.
type Sessions interface {
	PutSession(ctx context.Context, tokenHash, accountID string, ttl cache.SessionTTL) error
	Session(ctx context.Context, tokenHash string) (accountID string, ok bool, err error)
	DeleteSession(ctx context.Context, tokenHash string) error
	DeleteSessionsOf(ctx context.Context, accountID string) error
}

// Authenticator recognises callers.
type Authenticator struct {
	store    *store.Store
	sessions Sessions
	now      func() time.Time
}

// New makes an Authenticator.
func New(s *store.Store, sessions Sessions, now func() time.Time) *Authenticator {
	return &Authenticator{store: s, sessions: sessions, now: now}
}

// Session is a fresh sign-in.
type Session struct {
	Token     string
	AccountID string
	ExpiresAt time.Time
}

// SignIn checks a name and password and opens a session. Every failure looks the same to the caller, but for an account that is locked
// after too many failures in a row (CodeSignInLocked).
func (a *Authenticator) SignIn(ctx context.Context, name, password string) (Session, error) {
	login, err := a.store.AccountByName(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		burnPassword(password) // so that the time taken does not tell which names exist
		return Session{}, refused()
	}
	if err != nil {
		return Session{}, fmt.Errorf("load account: %w", err)
	}
	now := a.now()
	if now.Before(login.LockedUntil) {
		burnPassword(password)
		return Session{}, locked(login.LockedUntil)
	}
	if right := checkPassword(login.PasswordHash, password); login.Barred || !right {
		return Session{}, a.noteFailure(ctx, login, now)
	}
	switch err := a.store.AcceptSignIn(ctx, login.Account.ID, now); {
	case errors.Is(err, store.ErrChanged):
		return Session{}, locked(now.Add(lockDuration)) // by other tries at the same time
	case err != nil:
		return Session{}, fmt.Errorf("note sign-in: %w", err)
	}
	return a.OpenSession(ctx, login.Account.ID)
}

// OpenSession opens a session of an account whose holder has proved who they are elsewhere, as with a logon code.
func (a *Authenticator) OpenSession(ctx context.Context, accountID string) (Session, error) {
	token, err := newSecret(sessionPrefix)
	if err != nil {
		return Session{}, err
	}
	ttl := cache.SessionTTL{Idle: sessionIdle, Absolute: sessionLifetime}
	if err := a.sessions.PutSession(ctx, hash(token), accountID, ttl); err != nil {
		return Session{}, fmt.Errorf("open session: %w", err)
	}
	return Session{Token: token, AccountID: accountID, ExpiresAt: a.now().Add(sessionLifetime)}, nil
}

func (a *Authenticator) noteFailure(ctx context.Context, login store.Login, now time.Time) error {
	until := now.Add(lockDuration)
	answer := refused()
	err := a.store.Tx(ctx, func(tx *store.Tx) error {
		answer = refused()
		failures, err := tx.CountSignInFailure(ctx, login.Account.ID)
		if err != nil || failures < maxFailures {
			return err
		}
		answer = locked(until)
		return tx.LockSignIn(ctx, login.Account.ID, until)
	})
	if err != nil {
		return fmt.Errorf("note sign-in: %w", err)
	}
	return answer
}

func refused() error {
	return domain.Errorf(domain.CodeUnauthenticated, "the name or the password is wrong")
}

func locked(until time.Time) error {
	return domain.Errorf(domain.CodeSignInLocked, "too many failed sign-ins; try again later").
		With("until", until.UTC().Format(time.RFC3339))
}

// SignOut ends a session.
func (a *Authenticator) SignOut(ctx context.Context, token string) error {
	if err := a.sessions.DeleteSession(ctx, hash(token)); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// SignOutAll ends every session of an account: after its password was changed or it was disabled.
func (a *Authenticator) SignOutAll(ctx context.Context, accountID string) error {
	if err := a.sessions.DeleteSessionsOf(ctx, accountID); err != nil {
		return fmt.Errorf("close sessions: %w", err)
	}
	return nil
}

// Authenticate tells whose bearer token this is: a session's or an API key.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (domain.Caller, error) {
	unknown := domain.Errorf(domain.CodeUnauthenticated, "the bearer token is unknown or has expired")
	var accountID string
	var machine bool
	switch {
	case strings.HasPrefix(token, sessionPrefix):
		id, ok, err := a.sessions.Session(ctx, hash(token))
		if err != nil {
			return domain.Caller{}, fmt.Errorf("look up session: %w", err)
		}
		if !ok {
			return domain.Caller{}, unknown
		}
		accountID = id
	case strings.HasPrefix(token, apiKeyPrefix):
		id, err := a.checkAPIKey(ctx, token)
		if err != nil {
			return domain.Caller{}, err
		}
		accountID, machine = id, true
	default:
		return domain.Caller{}, unknown
	}
	caller, err := a.store.Caller(ctx, accountID)
	if errors.Is(err, store.ErrNotFound) {
		return domain.Caller{}, unknown
	}
	if err != nil {
		return domain.Caller{}, fmt.Errorf("load account: %w", err)
	}
	caller.Machine = machine
	return caller, nil
}

// checkAPIKey reads mdk_<key id>_<secret>.
func (a *Authenticator) checkAPIKey(ctx context.Context, token string) (string, error) {
	unknown := domain.Errorf(domain.CodeUnauthenticated, "the API key is unknown, revoked or has expired")
	id, _, ok := strings.Cut(strings.TrimPrefix(token, apiKeyPrefix), "_")
	if !ok || uuid.Validate(id) != nil {
		return "", unknown
	}
	key, err := a.store.APIKey(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", unknown
	}
	if err != nil {
		return "", fmt.Errorf("load API key: %w", err)
	}
	expired := !key.ExpiresAt.IsZero() && !a.now().Before(key.ExpiresAt)
	if subtle.ConstantTimeCompare([]byte(key.SecretHash), []byte(hash(token))) != 1 || key.Revoked || expired {
		return "", unknown
	}
	return key.AccountID, nil
}

// NewAPIKey makes the secret of a key and the hash to store. The secret is shown once.
func NewAPIKey(id string) (secret, secretHash string, err error) {
	secret, err = newSecret(apiKeyPrefix + id + "_")
	return secret, hash(secret), err
}

func newSecret(prefix string) (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// hash suits secrets of full entropy; passwords have their own.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
