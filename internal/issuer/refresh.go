package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/store"
)

// Refresh tokens let the wallet that collected a document come back for newer versions, without its holder (E6). They are sealed like all tokens and
// form a chain: each has a number and a random mark, and each use gives one with the next number. Of the chain, SQL knows the last one used. That one may
// be used again, because its answer may have been lost, until one of the next number is used; from then on every other token is an old one. Whoever
// brings an old one has it from the wallet, or the wallet's were stolen: the chain ends.

const purposeRefresh purpose = "refresh token"

const (
	markSize         = 8
	refreshTokenSize = 16 + 4 + 4 + markSize + macSize
)

// refreshGrant is what a refresh token says.
type refreshGrant struct {
	requestID  string // by which the first version of the document was collected
	generation int    // of the request
	number     int    // in the chain, from 1
	mark       string // hex
}

// newRefreshToken makes a token of a chain with a mark of its own.
func (is *Issuer) newRefreshToken(r domain.Request, number int) (string, error) {
	id, err := uuid.Parse(r.ID)
	if err != nil {
		return "", fmt.Errorf("make refresh token: %w", err)
	}
	b := make([]byte, 0, refreshTokenSize)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Generation)) //nolint:gosec // generations are small and positive
	b = binary.BigEndian.AppendUint32(b, uint32(number))       //nolint:gosec // so are numbers
	mark := make([]byte, markSize)
	if _, err := rand.Read(mark); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	b = append(b, mark...)
	return base64.RawURLEncoding.EncodeToString(append(b, is.mac(purposeRefresh, b)...)), nil
}

// openRefreshToken checks a token in constant time; false for anything that was not made by newRefreshToken.
func (is *Issuer) openRefreshToken(token string) (refreshGrant, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != refreshTokenSize {
		return refreshGrant{}, false
	}
	body := b[:refreshTokenSize-macSize]
	if !hmac.Equal(b[refreshTokenSize-macSize:], is.mac(purposeRefresh, body)) {
		return refreshGrant{}, false
	}
	return refreshGrant{requestID: uuid.UUID(body[:16]).String(), generation: int(binary.BigEndian.Uint32(body[16:20])),
		number: int(binary.BigEndian.Uint32(body[20:24])), mark: hex.EncodeToString(body[24:])}, true
}

func refreshRefused() *domain.Error {
	return domain.Errorf(domain.CodeTokenInvalid, "the refresh token is unknown, was replaced, or its document has not been collected")
}

// Refresh exchanges a refresh token for an access token and the next refresh token (RFC 6749, 6). The access token is for the update that waits, if there
// is one, and says so; else for the newest version that was collected. It is refused with CodeTokenInvalid while the document is not active.
func (is *Issuer) Refresh(ctx context.Context, refreshToken string) (Token, error) {
	g, ok := is.openRefreshToken(refreshToken)
	if !ok {
		return Token{}, refreshRefused()
	}
	const tries = 5 // an update may be sent again, or end, at the same time
	var leads refreshed
	var err error
	for range tries {
		if leads, err = is.useRefreshToken(ctx, g); !errors.Is(err, store.ErrChanged) {
			break
		}
	}
	if err != nil {
		return Token{}, err
	}
	profile, err := is.loadProfile(ctx, leads.to.ProfileID)
	if err != nil {
		return Token{}, err
	}
	out := Token{ExpiresIn: accessLifetime, ConfigurationID: profile.Name, UpdateAvailable: leads.update}
	if out.RefreshToken, err = is.newRefreshToken(leads.origin, g.number+1); err != nil {
		return Token{}, err
	}
	out.AccessToken, err = is.seal(purposeAccess,
		grant{requestID: leads.to.ID, generation: leads.to.Generation, expires: is.Now().Add(accessLifetime)})
	return out, err
}

// refreshed is where a refresh token leads to.
type refreshed struct {
	origin domain.Request // of the chain
	to     domain.Request // whose document can be collected
	update bool           // it is an update that waits
}

// useRefreshToken moves the chain on and finds where it leads to, in one transaction.
func (is *Issuer) useRefreshToken(ctx context.Context, g refreshGrant) (refreshed, error) {
	var out refreshed
	var refusal *domain.Error
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		out, refusal = refreshed{}, nil
		origin, chain, err := tx.HoldRefreshChain(ctx, g.requestID, g.generation)
		if errors.Is(err, store.ErrNotFound) {
			refusal = refreshRefused()
			return nil
		}
		if err != nil {
			return fmt.Errorf("hold refresh tokens: %w", err)
		}
		switch again := g.number == chain.Used && g.mark == chain.Mark; {
		case chain.Ended || g.number > chain.Used+1:
			refusal = refreshRefused()
			return nil
		case g.number <= chain.Used && !again:
			refusal = refreshRefused()
			return is.endRefresh(ctx, tx, origin, chain)
		}
		d, err := tx.NewestVersion(ctx, origin.DocumentID)
		if err != nil {
			return fmt.Errorf("load newest version: %w", err)
		}
		if state := is.documentState(d); state != domain.DocumentActive {
			refusal = domain.Errorf(domain.CodeTokenInvalid, "the document is %s", state).With("state", string(state))
			return nil
		}
		if out, err = is.leadsTo(ctx, tx, d); err != nil {
			return err
		}
		out.origin = origin
		chain.Used, chain.Mark = g.number, g.mark
		if err := tx.SetRefreshChain(ctx, origin.ID, chain); err != nil {
			return fmt.Errorf("note use of refresh token: %w", err)
		}
		return nil
	})
	if err != nil {
		return refreshed{}, err
	}
	if refusal != nil {
		return refreshed{}, refusal
	}
	return out, nil
}

// endRefresh ends a chain of which an old token came back.
func (is *Issuer) endRefresh(ctx context.Context, tx *store.Tx, origin domain.Request, chain store.RefreshChain) error {
	chain.Ended = true
	if err := tx.SetRefreshChain(ctx, origin.ID, chain); err != nil {
		return fmt.Errorf("end refresh tokens: %w", err)
	}
	e := is.transition(wallet(), "request.end_refresh", origin, origin.State)
	e.Notes = "a refresh token was used that another one had replaced"
	return tx.AppendAudit(ctx, e)
}

// leadsTo finds what a wallet that has the document may collect, and marks an update as being collected.
func (is *Issuer) leadsTo(ctx context.Context, tx *store.Tx, d domain.Document) (refreshed, error) {
	update, err := is.waitingUpdate(ctx, tx.Queries, d)
	if err != nil {
		return refreshed{}, err
	}
	if update == nil {
		own, err := tx.Request(ctx, d.RequestID)
		if err != nil {
			return refreshed{}, fmt.Errorf("load request: %w", err)
		}
		return refreshed{to: own}, nil
	}
	if update.Redeemed {
		return refreshed{to: *update, update: true}, nil
	}
	if err := tx.RedeemCode(ctx, update.ID, update.Generation, is.Now()); err != nil {
		return refreshed{}, fmt.Errorf("redeem update: %w", err)
	}
	return refreshed{to: *update, update: true}, tx.AppendAudit(ctx, is.transition(wallet(), "request.redeem", *update, update.State))
}

// waitingUpdate gives the update of a document that its wallet may collect now, if there is one.
func (is *Issuer) waitingUpdate(ctx context.Context, q store.Queries, d domain.Document) (*domain.Request, error) {
	waits, err := is.openWishes(ctx, q, d)
	if err != nil {
		return nil, err
	}
	u := waits.update
	if u == nil || u.State != domain.RequestAwaitingCollection || !is.Now().Before(u.CollectionDeadline) || waits.cancellationID != "" {
		return nil, nil
	}
	return u, nil
}

// UpdateAvailable says to a wallet whether an update waits for the document that its access token is for. It changes nothing; to collect the update,
// the wallet uses its refresh token.
func (is *Issuer) UpdateAvailable(ctx context.Context, accessToken string) (bool, error) {
	r, err := is.tokenRequest(ctx, accessToken)
	if err != nil {
		return false, err
	}
	has := r.DocumentID
	if r.State == domain.RequestAwaitingCollection {
		has = r.Replaces
	}
	if has == "" {
		return false, nil
	}
	d, err := is.Store.NewestVersion(ctx, has)
	if err != nil {
		return false, fmt.Errorf("load newest version: %w", err)
	}
	if is.documentState(d) != domain.DocumentActive {
		return false, nil
	}
	u, err := is.waitingUpdate(ctx, is.Store.Queries, d)
	return u != nil, err
}
