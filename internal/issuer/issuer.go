// Package issuer holds the acts of an issuing authority, one file per topic. Every act goes the same way: permission and scope, then the rules,
// then one transaction with its audit entry, then the engine. Nobody else writes to the store.
//
// When an act returns without error, what it did is durable. When it returns an error, nothing changed unless the act says otherwise.
package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/notify"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/telemetry"
	"github.com/mdocket/mdocket/workflows/messages"
)

// Engine is what the acts need of the workflow engine.
type Engine interface {
	// StartIssuance starts the workflow of a request; starting it again is harmless.
	StartIssuance(ctx context.Context, requestID string) error
	// Act lets the workflow carry out a recorded act and waits for it; engine.ErrNoWorkflow when none runs.
	Act(ctx context.Context, kind domain.ActKind, ref messages.ActRef) (messages.Snapshot, error)
	// StartCancellation and ActOnCancellation are the same for the workflow of a cancellation that needs approval.
	StartCancellation(ctx context.Context, cancellationID string) error
	ActOnCancellation(ctx context.Context, kind domain.CancellationAct, ref messages.CancellationActRef) (messages.CancellationSnapshot, error)
	// StartBatch starts the workflow of a batch; starting it again is harmless.
	StartBatch(ctx context.Context, batchID string) error
	// Lock tells the workflow that the request is locked; it may get lost.
	Lock(ctx context.Context, requestID string) error
}

// Cache is what the acts keep outside SQL: only what may be lost.
type Cache interface {
	ClaimNonce(ctx context.Context, nonce, owner string, ttl time.Duration) (bool, error)
	Allow(ctx context.Context, key string, limit int, window time.Duration) (ok bool, retryAfter time.Duration, err error)
	Spent(ctx context.Context, key string, limit int) (spent bool, retryAfter time.Duration, err error)
}

// Config is what an operator of the server decides.
type Config struct {
	BaseURL       string // public, without a trailing slash; also the credential issuer identifier
	QRBaseURL     string // of links in QR codes; empty = BaseURL. A setting goes before it.
	ServerName    string // in messages and metadata
	Language      string // of messages to people who have none
	DefaultRegion string // of mobile numbers without a country code, ISO 3166-1
	Authority     AuthorityConfig
	StatusTTL     time.Duration // how long verifiers may keep a status list
	StatusRefresh time.Duration // how often a changed status list is signed at the most
	StatusEntries uint64        // capacity of a new status list
	StatusDecoys  uint64        // of 1000 entries of a new status list, how many are decoys at the most
	KeepSigned    time.Duration // how long signed bytes are kept for a wallet that lost the answer
}

// Deps are the parts an Issuer works with.
type Deps struct {
	Store     *store.Store
	Engine    Engine
	Cache     Cache
	Formats   *format.Registry
	Keys      keys.Manager
	Secret    *keys.Secret
	Mailer    Mailer
	SMS       notify.SMS // nil = no SMS gateway
	MDM       MDM        // nil = no mobile device management
	Attestors Attestors  // of wallets' keys
	Templates *notify.Templates
	Metrics   *telemetry.Metrics
	Log       *slog.Logger
	Now       func() time.Time
	Rand      io.Reader
}

// Mailer sends one e-mail.
type Mailer interface {
	Send(ctx context.Context, m notify.Email) (notify.Receipt, error)
}

// MDM asks mobile device management systems for devices (B10). Its errors hold no personal data.
type MDM interface {
	// Choose gives the name of the system that a profile means: the one it names, or the only one when it names none.
	Choose(name string) (string, error)
	// Lookup gives the device with the external mobile id, as encoding/json decodes it, if the system knows it.
	Lookup(ctx context.Context, name, id string) (device any, found bool, err error)
}

// Issuer is the issuing authority.
type Issuer struct {
	Deps
	cfg Config

	codeKey        []byte // authentication codes
	tokenKey       []byte // links, pre-authorized codes, access tokens, nonces
	fingerprintKey []byte // of inputs under an idempotency key
	dataKey        []byte // of the data that documents were made from

	authority        *authority
	attestationRoots *x509.CertPool
	statusCache      statusCache
	housekeeping     interval
}

// New makes an Issuer.
func New(cfg Config, d Deps) *Issuer {
	is := &Issuer{
		Deps: d, cfg: cfg,
		codeKey:          d.Secret.Derive("authentication code"),
		tokenKey:         d.Secret.Derive("tokens"),
		fingerprintKey:   d.Secret.Derive("idempotency fingerprint"),
		dataKey:          d.Secret.Derive("data of documents"),
		attestationRoots: d.Attestors.pool(),
	}
	is.authority = newAuthority(cfg.Authority, d)
	return is
}

// newID gives an id that grows with time, so that lists by id are lists by age.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

var idempotencyKey = regexp.MustCompile(`^[!-~]{1,255}$`)

func badIdempotencyKey() error {
	return invalid("idempotency_key", "must be 1 to 255 visible ASCII characters")
}

// create runs the transaction of a creating act once for each idempotency key of the caller (C2). It gives the id of the thing: the new one, or
// the one an earlier call with the same key and input made, then replayed is true. An empty key always creates.
func (is *Issuer) create(ctx context.Context, caller domain.Caller, act, key string, input any, id string,
	fn func(tx *store.Tx) error) (resource string, replayed bool, err error) {
	if key == "" {
		return id, false, is.Store.Tx(ctx, fn)
	}
	if !idempotencyKey.MatchString(key) {
		return "", false, badIdempotencyKey()
	}
	inputPrint, err := is.fingerprint(input)
	if err != nil {
		return "", false, err
	}
	errClaimed := errors.New("key claimed")
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		err := tx.InsertIdempotencyKey(ctx, store.IdempotencyKey{AccountID: caller.AccountID, Key: key, Act: act, Fingerprint: inputPrint,
			ResourceID: id, CreatedAt: store.At(is.Now())})
		if errors.Is(err, store.ErrExists) {
			return errClaimed
		}
		if err != nil {
			return fmt.Errorf("claim idempotency key: %w", err)
		}
		return fn(tx)
	})
	if !errors.Is(err, errClaimed) {
		return id, false, err
	}
	return is.replay(ctx, caller, act, key, input)
}

// fingerprint tells inputs apart without keeping them; it is keyed, so personal data cannot be guessed from it.
func (is *Issuer) fingerprint(input any) (string, error) {
	form, err := json.Marshal(input)
	if err != nil {
		return "", fmt.Errorf("fingerprint input: %w", err)
	}
	mac := hmac.New(sha256.New, is.fingerprintKey)
	mac.Write(form)
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// replay finds an earlier result before the rules are checked, so that repeating an accepted call is accepted even when the world has
// changed since.
func (is *Issuer) replay(ctx context.Context, caller domain.Caller, act, key string, input any) (resource string, found bool, err error) {
	if key == "" {
		return "", false, nil
	}
	if !idempotencyKey.MatchString(key) {
		return "", false, badIdempotencyKey()
	}
	k, err := is.Store.IdempotencyKey(ctx, caller.AccountID, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("load idempotency key: %w", err)
	}
	inputPrint, err := is.fingerprint(input)
	if err != nil {
		return "", false, err
	}
	if k.Act != act || k.Fingerprint != inputPrint {
		return "", false, domain.Errorf(domain.CodeIdempotencyReused,
			"this idempotency key was used before for something else; use a new key for each new thing")
	}
	return k.ResourceID, true, nil
}

// entry starts an audit entry.
func (is *Issuer) entry(caller domain.Caller, action, subject string) domain.AuditEntry {
	return domain.AuditEntry{At: is.Now(), Actor: caller.AccountID, Action: action, Subject: subject}
}

// found turns the store's not-found into the caller's.
func found(err error, what string) error {
	if errors.Is(err, store.ErrNotFound) {
		return domain.NotFound(what)
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", what, err)
	}
	return nil
}

// invalid is an Error about one field.
func invalid(field, problem string) error {
	return &domain.Error{Code: domain.CodeInvalid, Message: "the input breaks a rule", Fields: []domain.FieldError{{Field: field, Problem: problem}}}
}

// maxNote bounds reasons and comments, in characters.
const maxNote = 1000

// checkNote reports a free text that is too long, or that is not text.
func checkNote(problems *domain.Problems, field, text string, most int) {
	strange := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > most || strings.ContainsFunc(text, strange) {
		problems.Add(field, "must be text of at most %d characters", most)
	}
}

const (
	defaultPage = 50
	maxPage     = 500
)

// page bounds what a caller asks for.
func page(after string, limit int) (store.Page, error) {
	if after != "" && uuid.Validate(after) != nil {
		return store.Page{}, invalid("after", "must be the id that the last page ended with")
	}
	switch {
	case limit == 0:
		limit = defaultPage
	case limit < 1 || limit > maxPage:
		return store.Page{}, invalid("limit", fmt.Sprintf("must be between 1 and %d", maxPage))
	}
	return store.Page{After: after, Limit: limit}, nil
}
