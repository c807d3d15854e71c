package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/cache"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/store"
)

const (
	accessLifetime = time.Hour
	nonceLifetime  = 5 * time.Minute

	// Wrong codes from one source address, over all requests (D4).
	sourceAttempts = 30
	sourceWindow   = 10 * time.Minute
)

// Offer is what the collection page and the credential offer tell a wallet.
type Offer struct {
	RequestID         string
	ConfigurationID   string // the profile's name
	DisplayName       string
	PreAuthorizedCode string
	CodeDigits        int
	Deadline          time.Time
	PublicBaseURL     string // where a link to the offer leads
	QRBaseURL         string // where one in a QR code leads
}

// Offer reads the offer behind a collection link. It can be read any number of times until the document is collected (E1).
func (is *Issuer) Offer(ctx context.Context, linkToken string) (Offer, error) {
	unknown := domain.Errorf(domain.CodeOfferInvalid, "this link is unknown, was used, or a newer one was sent")
	g, ok := is.open(purposeLink, linkToken)
	if !ok {
		return Offer{}, unknown
	}
	r, err := is.collectable(ctx, g)
	if err != nil {
		return Offer{}, err
	}
	if r.Redeemed {
		return Offer{}, unknown
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return Offer{}, err
	}
	s, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return Offer{}, err
	}
	code, err := is.seal(purposePreAuthorized, grant{requestID: r.ID, generation: r.Generation})
	return Offer{RequestID: r.ID, ConfigurationID: profile.Name, DisplayName: profile.Options.DisplayName, PreAuthorizedCode: code,
		CodeDigits: r.CodeDigits, Deadline: r.CollectionDeadline, PublicBaseURL: is.publicBaseURL(s), QRBaseURL: is.qrBaseURL(s)}, err
}

// collectable loads the request of a grant if it is still the present generation and in time.
func (is *Issuer) collectable(ctx context.Context, g grant) (domain.Request, error) {
	r, err := is.Store.Request(ctx, g.requestID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return r, fmt.Errorf("load request: %w", err)
	}
	return r, is.checkOffer(r, g.generation)
}

// checkOffer says why the offer of a generation is no good any more; an unknown request has generation 0, which no offer has, and an update has none.
func (is *Issuer) checkOffer(r domain.Request, generation int) error {
	switch {
	case r.Generation != generation || r.Kind() == domain.RequestUpdate:
		return domain.Errorf(domain.CodeOfferInvalid, "this offer is unknown, or a newer one was sent")
	case r.State == domain.RequestLocked:
		return lockedByCodes()
	case r.State == domain.RequestExpired || (r.State == domain.RequestAwaitingCollection && !is.Now().Before(r.CollectionDeadline)):
		return domain.Errorf(domain.CodeOfferExpired, "this offer has expired")
	case r.State != domain.RequestAwaitingCollection:
		return domain.Errorf(domain.CodeOfferInvalid, "this offer was used or withdrawn")
	}
	return nil
}

func lockedByCodes() error {
	return domain.Errorf(domain.CodeCodeLocked, "too many wrong codes were tried; ask for a new code")
}

// Token is an access token for the credential endpoint, with the refresh token for later.
type Token struct {
	AccessToken     string
	ExpiresIn       time.Duration
	ConfigurationID string
	RefreshToken    string // works once the document was collected
	UpdateAvailable bool   // from Refresh: the access token is for an update that waits
}

// Redeem exchanges a pre-authorized code and the authentication code for an access token, once (D4, E4). Every code tried is counted before it is
// compared; a wrong one costs an attempt and leaves the offer; too many lock the request. source is the caller's address.
func (is *Issuer) Redeem(ctx context.Context, preAuthorized, code, source string) (Token, error) {
	g, ok := is.open(purposePreAuthorized, preAuthorized)
	if !ok {
		return Token{}, domain.Errorf(domain.CodeOfferInvalid, "the pre-authorized code is unknown")
	}
	r, err := is.collectable(ctx, g)
	if err != nil {
		return Token{}, err
	}
	if r.Redeemed {
		return Token{}, redeemedBefore()
	}
	if !is.Now().Before(r.CodeExpiresAt) {
		return Token{}, domain.Errorf(domain.CodeOfferExpired, "the authentication code has expired; ask for a new one")
	}
	spent, wait, err := is.Cache.Spent(ctx, wrongCodes(source), sourceAttempts)
	if err != nil {
		is.Log.WarnContext(ctx, "rate limit not available", "error", err)
	} else if spent {
		return Token{}, domain.Errorf(domain.CodeRateLimited, "too many wrong codes from this address; try again later").
			With("retry_after", fmt.Sprint(int(wait.Seconds())+1))
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return Token{}, err
	}
	if err := is.tryCode(ctx, r, code); err != nil {
		if c := domain.CodeOf(err); c == domain.CodeCodeWrong || c == domain.CodeCodeLocked {
			if _, _, cacheErr := is.Cache.Allow(ctx, wrongCodes(source), sourceAttempts, sourceWindow); cacheErr != nil {
				is.Log.WarnContext(ctx, "rate limit not available", "error", cacheErr)
			}
		}
		return Token{}, err
	}
	failpoint.Hit("token.redeemed")
	out := Token{ExpiresIn: accessLifetime, ConfigurationID: profile.Name}
	if out.RefreshToken, err = is.newRefreshToken(r, 1); err != nil {
		return Token{}, err
	}
	out.AccessToken, err = is.seal(purposeAccess, grant{requestID: r.ID, generation: r.Generation, expires: is.Now().Add(accessLifetime)})
	return out, err
}

func redeemedBefore() error {
	return domain.Errorf(domain.CodeOfferInvalid, "the pre-authorized code was used")
}

// wrongCodes names the count of wrong codes from an address.
func wrongCodes(source string) string { return "wrong codes|" + cache.Source(source) }

// tryCode spends an attempt and compares, all in one transaction.
func (is *Issuer) tryCode(ctx context.Context, r domain.Request, code string) error {
	want := is.code(r)
	var refusal error
	locked := false
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		refusal, locked = nil, false
		s, err := loadSettings(ctx, tx.Queries)
		if err != nil {
			return err
		}
		n, err := tx.CountAttempt(ctx, r.ID, r.Generation, s.AuthenticationCodeAttempts)
		if errors.Is(err, store.ErrChanged) {
			now, err := tx.Request(ctx, r.ID)
			if err != nil {
				return fmt.Errorf("load request: %w", err)
			}
			if refusal = is.checkOffer(now, r.Generation); refusal == nil && now.Redeemed {
				refusal = redeemedBefore()
			}
			if refusal != nil {
				return nil
			}
			// None is left although nobody locked the request: the limit was lowered since.
			refusal, locked = lockedByCodes(), true
			return is.lock(ctx, tx, now, now.Attempts)
		}
		if err != nil {
			return fmt.Errorf("count attempt: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(code), []byte(want)) == 1 {
			if err := tx.RedeemCode(ctx, r.ID, r.Generation, is.Now()); err != nil {
				return fmt.Errorf("redeem code: %w", err)
			}
			return tx.AppendAudit(ctx, is.transition(wallet(), "request.redeem", r, r.State))
		}
		if n >= s.AuthenticationCodeAttempts {
			refusal, locked = lockedByCodes(), true
			return is.lock(ctx, tx, r, n)
		}
		refusal = domain.Errorf(domain.CodeCodeWrong, "the authentication code is wrong").
			With("attempts_left", fmt.Sprint(s.AuthenticationCodeAttempts-n))
		return tx.AppendAudit(ctx, is.transition(wallet(), "request.wrong_code", r, r.State))
	})
	if err != nil {
		return err
	}
	if locked {
		if err := is.Engine.Lock(ctx, r.ID); err != nil {
			is.Log.WarnContext(ctx, "workflow not told of the lock", "request_id", r.ID, "code", string(domain.CodeOf(err)))
		}
	}
	return refusal
}

// lock ends the tries at the present code.
func (is *Issuer) lock(ctx context.Context, tx *store.Tx, r domain.Request, attempts int) error {
	next, err := tx.HoldRequest(ctx, r.ID, r.State, r.Generation)
	if err != nil {
		return fmt.Errorf("hold request: %w", err)
	}
	next.State, next.Attempts, next.UpdatedAt = domain.RequestLocked, attempts, is.Now()
	if err := tx.MoveRequest(ctx, next, r.State, r.Generation); err != nil {
		return fmt.Errorf("lock request: %w", err)
	}
	return tx.AppendAudit(ctx, is.transition(wallet(), "request.lock", next, r.State))
}

// wallet is the actor of what wallets do.
func wallet() domain.Caller { return domain.Caller{AccountID: "wallet"} }

// NewNonce makes a c_nonce: signed, good for five minutes and, once used, for one set of keys only.
func (is *Issuer) NewNonce() (string, error) {
	b := make([]byte, 16, 16+8+macSize)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	b = binary.BigEndian.AppendUint64(b, unixOf(is.Now().Add(nonceLifetime)))
	return base64.RawURLEncoding.EncodeToString(append(b, is.mac(purposeNonce, b)...)), nil
}

// CheckNonce says whether the nonce is ours and in time; whether it was used is seen when the keys are known.
func (is *Issuer) CheckNonce(nonce string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != 16+8+macSize {
		return false
	}
	body := b[:16+8]
	if !hmac.Equal(b[16+8:], is.mac(purposeNonce, body)) {
		return false
	}
	return is.Now().Unix() < int64(binary.BigEndian.Uint64(body[16:])) //nolint:gosec // written by NewNonce
}

// WalletKey is a key whose possession the wallet has proved, under a nonce, or that a trusted attestation has beside such a one.
type WalletKey struct {
	Key        *ecdsa.PublicKey
	Thumbprint string
	Nonce      string
	// Attestation is what a trusted attestation states of the key; nil without one, and where none is asked for.
	Attestation *domain.Attestation
}

// Collect is a wallet's wish for the document its token is for.
type Collect struct {
	AccessToken     string
	ConfigurationID string
	Keys            []WalletKey
	Platform        domain.Platform
}

// Access is what a valid access token leads to.
type Access struct {
	ConfigurationID string
	MaxCopies       int
	// AttestationRoots are the certificates that the key attestations of the request must lead to; nil = no attestation is asked for.
	AttestationRoots *x509.CertPool
}

// CheckAccess says whether an access token is good, before anything else of a credential request is looked at (CodeTokenInvalid).
func (is *Issuer) CheckAccess(ctx context.Context, token string) (Access, error) {
	r, err := is.tokenRequest(ctx, token)
	if err != nil {
		return Access{}, err
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return Access{}, err
	}
	out := Access{ConfigurationID: profile.Name, MaxCopies: profile.Options.MaxCopies}
	demand, err := is.attestationDemand(ctx, profile)
	if err != nil {
		return Access{}, err
	}
	if demand.Demanded() {
		out.AttestationRoots = is.attestationRoots
	}
	return out, nil
}

func (is *Issuer) tokenRequest(ctx context.Context, token string) (domain.Request, error) {
	invalid := domain.Errorf(domain.CodeTokenInvalid, "the access token is unknown, expired or replaced")
	g, ok := is.open(purposeAccess, token)
	if !ok {
		return domain.Request{}, invalid
	}
	r, err := is.Store.Request(ctx, g.requestID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return r, fmt.Errorf("load request: %w", err)
	}
	if err != nil || r.Generation != g.generation || !r.Redeemed {
		return r, invalid
	}
	return r, nil
}

// Collect hands out the document for the wallet's keys: one IssuerSigned for each key, in the order given (E2). The first call has it signed; the same
// keys again get the same bytes as long as they are kept; other keys are refused (E4). What the rules refuse names the request in its details.
func (is *Issuer) Collect(ctx context.Context, in Collect) ([][]byte, error) {
	r, err := is.tokenRequest(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	profile, err := is.loadProfile(ctx, r.ProfileID)
	if err != nil {
		return nil, err
	}
	if in.ConfigurationID != profile.Name {
		return nil, invalid("credential_configuration_id", "is not the one that was offered")
	}
	if len(in.Keys) == 0 || len(in.Keys) > profile.Options.MaxCopies {
		return nil, domain.Errorf(domain.CodeKeyCount, "the number of keys must be 1 to %d", profile.Options.MaxCopies)
	}
	if err := is.claimNonces(ctx, r, in.Keys); err != nil {
		return nil, err
	}
	if r.State == domain.RequestIssued {
		return is.handOut(ctx, r, in.Keys)
	}
	if r.State != domain.RequestAwaitingCollection || !is.Now().Before(r.CollectionDeadline) {
		return nil, domain.Errorf(domain.CodeOfferInvalid, "this offer was used, withdrawn or has expired")
	}
	attested, err := is.checkAttestations(ctx, profile, in.Keys)
	if err != nil {
		return nil, err
	}
	if err := is.checkDevice(ctx, r, profile); err != nil {
		if refused, ok := asDomain(err); ok && refused.Code.RefusesCollection() {
			_, err = is.refuseCollection(ctx, r, refused)
		}
		return nil, refusedFor(r, err)
	}
	act := store.Act{Kind: domain.ActCollect, AccountID: wallet().AccountID, Fingerprint: keySet(in.Keys),
		Params: store.ActParams{Generation: r.Generation, Platform: in.Platform, Attestations: attested}}
	for _, k := range in.Keys {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil {
			return nil, domain.Errorf(domain.CodeInvalid, "a key cannot be used")
		}
		act.Params.Keys, act.Params.Thumbprints = append(act.Params.Keys, der), append(act.Params.Thumbprints, k.Thumbprint)
	}
	if _, err := is.act(ctx, r, act); err != nil {
		// The same keys may have been served at the same time.
		if now, loadErr := is.Store.Request(ctx, r.ID); loadErr == nil && now.State == domain.RequestIssued {
			return is.handOut(ctx, now, in.Keys)
		}
		return nil, refusedFor(r, err)
	}
	if r, err = is.Store.Request(ctx, r.ID); err != nil {
		return nil, fmt.Errorf("load request: %w", err)
	}
	failpoint.Hit("collect.signed")
	if r.State == domain.RequestFailed {
		return nil, refusedFor(r, domain.Errorf(r.FailureCode, "the rules do not allow the document to be collected any more"))
	}
	return is.handOut(ctx, r, in.Keys)
}

// refusedFor adds the request to a refusal by the rules, so that its holder can name it to the issuer.
func refusedFor(r domain.Request, err error) error {
	if refused, ok := asDomain(err); ok && refused.Code.RefusesCollection() {
		return refused.With("request_id", r.ID)
	}
	return err
}

// claimNonces lets each nonce serve one set of keys of one request: a repeated request passes, a replay with other keys does not.
func (is *Issuer) claimNonces(ctx context.Context, r domain.Request, keys []WalletKey) error {
	owner := r.ID + " " + keySet(keys)
	var claimed []string
	for _, k := range keys {
		if slices.Contains(claimed, k.Nonce) {
			continue
		}
		claimed = append(claimed, k.Nonce)
		ok, err := is.Cache.ClaimNonce(ctx, k.Nonce, owner, nonceLifetime)
		if err != nil {
			return fmt.Errorf("claim nonce: %w", err)
		}
		if !ok {
			return domain.Errorf(domain.CodeNonceInvalid, "the nonce was used; get another from the nonce endpoint")
		}
	}
	return nil
}

// keySet names a set of keys, in order.
func keySet(keys []WalletKey) string {
	prints := make([]string, len(keys))
	for i, k := range keys {
		prints[i] = k.Thumbprint
	}
	sum := sha256.Sum256([]byte(strings.Join(prints, " ")))
	return hex.EncodeToString(sum[:])
}

// handOut gives the signed bytes to the keys they were made for.
func (is *Issuer) handOut(ctx context.Context, r domain.Request, keys []WalletKey) ([][]byte, error) {
	copies, err := is.Store.Copies(ctx, r.DocumentID)
	if err != nil {
		return nil, fmt.Errorf("load copies: %w", err)
	}
	if len(copies) != len(keys) {
		return nil, collectedElsewhere()
	}
	out := make([][]byte, len(copies))
	for i, c := range copies {
		if c.KeyThumbprint != keys[i].Thumbprint {
			return nil, collectedElsewhere()
		}
		if c.IssuerSigned == nil {
			return nil, domain.Errorf(domain.CodeOfferInvalid, "the document was collected; it is not kept any longer")
		}
		out[i] = c.IssuerSigned
	}
	return out, nil
}

func collectedElsewhere() error {
	return domain.Errorf(domain.CodeOfferInvalid, "the document was collected with other keys")
}
