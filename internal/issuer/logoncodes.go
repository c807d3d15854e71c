package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// A logon code lets a person into self-service (B8, I4). It is a secret to sign in with, not a single-use one: it works until it expires,
// is replaced or is locked. It is never stored: see logonCode.

// LogonDelivery says how a logon code made by an operator reaches the holder.
type LogonDelivery string

// The ways of a logon code.
const (
	LogonByEmail  LogonDelivery = "email"
	LogonBySMS    LogonDelivery = "sms"
	LogonOnScreen LogonDelivery = "screen" // the operator reads it to the holder
)

// NewLogonCode is a wish for a new logon code of a person.
type NewLogonCode struct {
	PersonID string               `json:"person_id"`
	Kind     domain.LogonCodeKind `json:"kind"`
	Deliver  LogonDelivery        `json:"deliver"`
}

// LogonCode tells of a logon code that was made. Name and Code are empty unless it is shown on screen.
type LogonCode struct {
	Name      string
	Code      string
	ExpiresAt time.Time // zero = when it is replaced
	AccountID string    // of the account that the code before let in, whose sessions whoever calls ends; empty = none
}

// CreateLogonCode makes a new logon code for a person, in place of the one before, and sends or shows it. Showing also needs the permission
// view_code and is audited; a call that is repeated with the same key makes none, but shows the present one again. Sessions opened with the
// code before end; the API sees to that.
func (is *Issuer) CreateLogonCode(ctx context.Context, caller domain.Caller, key string, in NewLogonCode) (LogonCode, error) {
	if err := is.needFor(ctx, caller, domain.PermRequest, "person", in.PersonID); err != nil {
		return LogonCode{}, err
	}
	if in.Deliver == LogonOnScreen {
		if err := is.needFor(ctx, caller, domain.PermViewCode, "person", in.PersonID); err != nil {
			return LogonCode{}, err
		}
	}
	const act = "logon_code.create"
	_, replayed, err := is.replay(ctx, caller, act, key, in)
	if err != nil {
		return LogonCode{}, err
	}
	if !replayed {
		person, err := is.Store.Person(ctx, in.PersonID)
		if err != nil {
			return LogonCode{}, found(err, "person")
		}
		s, err := loadSettings(ctx, is.Store.Queries)
		if err != nil {
			return LogonCode{}, err
		}
		if err := checkLogonCode(in, person, s); err != nil {
			return LogonCode{}, err
		}
		_, _, err = is.create(ctx, caller, act, key, in, person.ID, func(tx *store.Tx) error {
			if err := is.renewLogonCode(ctx, tx, person.ID, in.Kind, s); err != nil {
				return err
			}
			if in.Deliver != LogonOnScreen {
				n := notice{kind: domain.MessageLogonCode, channel: domain.Channel(in.Deliver), personID: person.ID}
				if err := is.queueNotice(ctx, tx, n); err != nil {
					return err
				}
			}
			e := is.logonEntry(caller, act, person.ID)
			e.Changes = map[string]domain.Change{"kind": {After: string(in.Kind)}, "deliver": {After: string(in.Deliver)}}
			return tx.AppendAudit(ctx, e)
		})
		if err != nil {
			return LogonCode{}, err
		}
	}
	out, err := is.readLogonCode(ctx, caller, in)
	if err != nil || replayed {
		return out, err
	}
	login, err := is.Store.AccountByName(ctx, holderPrefix+in.PersonID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return LogonCode{}, fmt.Errorf("load account: %w", err)
	}
	out.AccountID = login.Account.ID
	return out, nil
}

// checkLogonCode holds the rules of making a logon code.
func checkLogonCode(in NewLogonCode, person domain.Person, s domain.Settings) error {
	var problems domain.Problems
	if in.Kind != domain.LogonCodeSimple && in.Kind != domain.LogonCodeComplex {
		problems.Add("kind", "must be simple or complex")
	}
	contact, channelOn := "", true
	switch in.Deliver {
	case LogonByEmail:
		contact, channelOn = person.Email, s.EmailEnabled
	case LogonBySMS:
		contact, channelOn = person.Mobile, s.SMSEnabled
	case LogonOnScreen:
		contact = "the operator"
	default:
		problems.Add("deliver", "must be email, sms or screen")
	}
	if err := problems.Err(domain.CodeInvalid, "the input breaks a rule"); err != nil {
		return err
	}
	if person.Status != domain.PersonActive {
		return domain.Errorf(domain.CodePersonInactive, "only an active person can sign in")
	}
	if person.LogonName == "" {
		problems.Add("logon_name", "is needed to sign in")
		return problems.Err(domain.CodeMissingData, "data of the person are missing")
	}
	if !channelOn {
		return domain.Errorf(domain.CodeChannelOff, "the channel is switched off").With("channel", string(in.Deliver))
	}
	if contact == "" {
		field := "email"
		if in.Deliver == LogonBySMS {
			field = "mobile"
		}
		problems.Add(field, "is needed to send the logon code")
		return problems.Err(domain.CodeMissingContact, "contact data is missing")
	}
	return nil
}

// readLogonCode tells of the present code; on screen with the code itself, which is audited.
func (is *Issuer) readLogonCode(ctx context.Context, caller domain.Caller, in NewLogonCode) (LogonCode, error) {
	var out LogonCode
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		code, expires, ok, err := is.currentLogonCode(ctx, tx.Queries, in.PersonID)
		if err != nil {
			return err
		}
		if !ok {
			return domain.Errorf(domain.CodeConflict, "the logon code was locked or has expired meanwhile; make a new one")
		}
		out = LogonCode{ExpiresAt: expires}
		if in.Deliver != LogonOnScreen {
			return nil
		}
		person, err := tx.Person(ctx, in.PersonID)
		if err != nil {
			return found(err, "person")
		}
		out.Name, out.Code = person.LogonName, code
		return tx.AppendAudit(ctx, is.logonEntry(caller, "logon_code.view", in.PersonID))
	})
	if err != nil {
		return LogonCode{}, err
	}
	return out, nil
}

func (is *Issuer) logonEntry(caller domain.Caller, action, personID string) domain.AuditEntry {
	e := is.entry(caller, action, personID)
	e.PersonID = personID
	return e
}

// visitor is the actor of what somebody does who has not proved who they are.
func visitor() domain.Caller { return domain.Caller{AccountID: "visitor"} }

// refusalTime is how long every refusal of a logon code takes, whatever was found on the way: longer than the slowest way usually is.
const refusalTime = 250 * time.Millisecond

// maxLogonCodeTyped bounds what is compared with a logon code, in bytes.
const maxLogonCodeTyped = 256

// AcceptLogonCode checks a logon name and code and gives the holder's account, for a session of self-service (I4). The first time it makes
// the account; each time it sees to the account's role, which is the one that the settings name, in scope self. Every code tried is counted
// before it is compared. Unknown names, people who are not active, and codes that are wrong, expired or locked are refused with one answer
// (CodeUnauthenticated) in one time; spaces in a typed code are ignored. source is the caller's address.
func (is *Issuer) AcceptLogonCode(ctx context.Context, logonName, code, source string) (accountID string, err error) {
	began := is.Now()
	spent, wait, err := is.Cache.Spent(ctx, wrongLogonCodes(source), sourceAttempts)
	if err != nil {
		is.Log.WarnContext(ctx, "rate limit not available", "error", err)
	} else if spent {
		return "", domain.Errorf(domain.CodeRateLimited, "too many wrong codes from this address; try again later").
			With("retry_after", fmt.Sprint(int(wait.Seconds())+1))
	}
	accountID, err = is.tryLogonCode(ctx, logonName, withoutSpaces(code))
	if domain.CodeOf(err) != domain.CodeUnauthenticated {
		return accountID, err
	}
	if _, _, cacheErr := is.Cache.Allow(ctx, wrongLogonCodes(source), sourceAttempts, sourceWindow); cacheErr != nil {
		is.Log.WarnContext(ctx, "rate limit not available", "error", cacheErr)
	}
	rest := time.NewTimer(refusalTime - is.Now().Sub(began))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
	return "", err
}

// wrongLogonCodes names the count of wrong logon codes from an address.
func wrongLogonCodes(source string) string { return "wrong logon codes|" + cache.Source(source) }

func withoutSpaces(code string) string {
	if len(code) > maxLogonCodeTyped {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, code)
}

func logonRefused() error {
	return domain.Errorf(domain.CodeUnauthenticated, "the logon name or the logon code is wrong, or the code works no longer")
}

// tryLogonCode spends a try and compares, all in one transaction with what follows from it.
func (is *Issuer) tryLogonCode(ctx context.Context, logonName, typed string) (accountID string, err error) {
	s, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return "", err
	}
	if s.SelfServiceRole == "" {
		return "", domain.Errorf(domain.CodeForbidden, "signing in with a logon code is switched off")
	}
	person, err := is.Store.PersonByLogonName(ctx, logonName)
	if errors.Is(err, store.ErrNotFound) {
		return "", logonRefused()
	}
	if err != nil {
		return "", fmt.Errorf("load person: %w", err)
	}
	if person.Status != domain.PersonActive {
		return "", logonRefused()
	}
	var refusal error
	err = is.Store.Tx(ctx, func(tx *store.Tx) error {
		accountID, refusal = "", nil
		c, err := tx.CountLogonTry(ctx, person.ID, s.LogonCodeAttempts, is.Now())
		if errors.Is(err, store.ErrChanged) {
			refusal = logonRefused()
			return nil
		}
		if err != nil {
			return fmt.Errorf("count try: %w", err)
		}
		want, err := is.logonCode(c)
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(typed), []byte(want)) != 1 {
			refusal = logonRefused()
			action := "logon_code.wrong"
			if c.Failures >= s.LogonCodeAttempts {
				action = "logon_code.lock"
			}
			return tx.AppendAudit(ctx, is.logonEntry(visitor(), action, person.ID))
		}
		if err := tx.ForgetLogonFailures(ctx, person.ID, c.Seed); err != nil {
			return fmt.Errorf("accept logon code: %w", err)
		}
		var entries []domain.AuditEntry
		accountID, entries, err = is.holderAccount(ctx, tx, person.ID, s.SelfServiceRole)
		if domain.CodeOf(err) == domain.CodeUnauthenticated {
			refusal = err
			return nil
		}
		if err != nil {
			return err
		}
		e := is.logonEntry(domain.Caller{AccountID: accountID}, "session.open", person.ID)
		e.Channel = string(domain.RequestByHolder)
		return tx.AppendAudit(ctx, append(entries, e)...)
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return "", err
	}
	return accountID, nil
}

// holderPrefix begins the names of the accounts that holders sign in to with logon codes; the person's id follows. No other account has
// such a name.
const holderPrefix = "holder-"

// holderAccount gives the account that the person signs in to with a logon code, made or brought up to date where needed, and the audit
// entries of that. It has no password, and one role in scope self; roles that somebody gave it beside that one stay until the setting names
// another.
func (is *Issuer) holderAccount(ctx context.Context, tx *store.Tx, personID, roleID string) (
	id string, entries []domain.AuditEntry, err error) {
	login, err := tx.AccountByName(ctx, holderPrefix+personID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		a := domain.Account{ID: newID(), Name: holderPrefix + personID, PersonID: personID}
		// Nobody else makes it meanwhile: the person's logon code is held by this transaction.
		if err := tx.InsertAccount(ctx, a, ""); err != nil {
			return "", nil, fmt.Errorf("insert account: %w", err)
		}
		login.Account = a
		e := is.entry(domain.System(), "account.create", a.ID)
		e.PersonID = personID
		entries = append(entries, e)
	case err != nil:
		return "", nil, fmt.Errorf("load account: %w", err)
	case login.Barred:
		return "", nil, logonRefused()
	case login.Account.PersonID != personID:
		return "", nil, errors.New("load account: the name of a holder's account is taken by another account")
	}
	if err := holdAccount(ctx, tx, login.Account.ID); err != nil {
		return "", nil, err
	}
	has, err := tx.Assignments(ctx, login.Account.ID)
	if err != nil {
		return "", nil, fmt.Errorf("load roles: %w", err)
	}
	want := domain.Assignment{RoleID: roleID, Scope: domain.ScopeSelf}
	if !slices.Contains(has, want) {
		if _, err := tx.Role(ctx, roleID); err != nil {
			return "", nil, fmt.Errorf("load role of self-service: %w", err)
		}
		if err := tx.SetAssignments(ctx, login.Account.ID, []domain.Assignment{want}); err != nil {
			return "", nil, fmt.Errorf("assign role: %w", err)
		}
		e := is.entry(domain.System(), "account.assign", login.Account.ID)
		e.Changes = map[string]domain.Change{roleID: {After: string(domain.ScopeSelf)}}
		entries = append(entries, e)
	}
	return login.Account.ID, entries, nil
}

// logonSeedSize is the length of the random part of a logon code's derivation, in bytes.
const logonSeedSize = 32

// renewLogonCode makes a new logon code for the person, by the rule of the kind, in place of the one before (B8). The kind none leaves
// everything as it is.
func (is *Issuer) renewLogonCode(ctx context.Context, tx *store.Tx, personID string, kind domain.LogonCodeKind, s domain.Settings) error {
	var rule string
	switch kind {
	case domain.LogonCodeSimple:
		rule = s.LogonCodeSimple
	case domain.LogonCodeComplex:
		rule = s.LogonCodeComplex
	case domain.LogonCodeNone, "":
		return nil
	default:
		return fmt.Errorf("make logon code: unknown kind")
	}
	parsed, err := domain.ParseLogonCodeRule(rule)
	if err != nil {
		return fmt.Errorf("read setting: %w", err)
	}
	now := is.Now()
	c := store.LogonCode{PersonID: personID, Seed: make([]byte, logonSeedSize), Rule: parsed.String(), CreatedAt: store.At(now)}
	if _, err := io.ReadFull(is.Rand, c.Seed); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	if life := time.Duration(s.LogonCodeLifetime); life != 0 {
		c.ExpiresAt = store.At(now.Add(life))
	}
	if err := tx.PutLogonCode(ctx, c); err != nil {
		return fmt.Errorf("store logon code: %w", err)
	}
	return nil
}

// currentLogonCode gives the person's logon code and when it ends (zero = when it is replaced); ok is false when there is none that works:
// none was made, or it has expired or is locked.
func (is *Issuer) currentLogonCode(ctx context.Context, q store.Queries, personID string) (
	code string, expires time.Time, ok bool, err error) {
	c, err := q.LogonCode(ctx, personID)
	if errors.Is(err, store.ErrNotFound) {
		return "", time.Time{}, false, nil
	}
	if err != nil {
		return "", time.Time{}, false, fmt.Errorf("load logon code: %w", err)
	}
	s, err := loadSettings(ctx, q)
	if err != nil {
		return "", time.Time{}, false, err
	}
	expired := !c.ExpiresAt.IsZero() && !is.Now().Before(c.ExpiresAt.Time)
	if expired || c.Failures >= s.LogonCodeAttempts {
		return "", time.Time{}, false, nil
	}
	code, err = is.logonCode(c)
	return code, c.ExpiresAt.Time, err == nil, err
}

// logonCode derives a logon code from what is stored of it. Who reads the database alone learns nothing about it, and the same row always
// gives the same code.
func (is *Issuer) logonCode(c store.LogonCode) (string, error) {
	rule, err := domain.ParseLogonCodeRule(c.Rule)
	if err != nil {
		return "", fmt.Errorf("read logon code: %w", err)
	}
	mac := hmac.New(sha256.New, is.Secret.Derive("logon code"))
	mac.Write([]byte(c.PersonID + "\n"))
	mac.Write(c.Seed)
	stream := sha3.NewSHAKE256()
	if _, err := stream.Write(mac.Sum(nil)); err != nil {
		return "", fmt.Errorf("derive logon code: %w", err)
	}
	return rule.Generate(stream)
}
