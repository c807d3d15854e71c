package wallet

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// Refreshed is the outcome of a refresh.
type Refreshed struct {
	Document Document
	// Updated tells whether a newer version has taken the document's place.
	Updated bool
}

// Refresh asks the issuer whether there is a newer version of a document and collects it, with new device keys and without
// anything the holder would have to enter. The version takes the place of the old one, whose keys are destroyed; the
// document keeps its id in this wallet. An issuer that does not say whether there is one is asked for it. A refresh that was
// broken off is taken up again with its keys.
//
// The refresh token that comes with the answer is on disk before anything else is done. Errors are those of Client and
// ErrNotFound, ErrNoRefreshToken, *DeferredError, ErrBadDocument. A *ProtocolError with the code invalid_grant says that the
// issuer does not refresh the document: it is out of use for now or for good, or its refresh token is.
func (w *Wallet) Refresh(ctx context.Context, id string) (*Refreshed, error) {
	document, err := w.store.Document(id)
	if err != nil {
		return nil, err
	}
	token, err := w.store.token(id)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("refresh: %w", ErrNoRefreshToken)
	}
	if err != nil {
		return nil, err
	}
	offer := oid4vci.CredentialOffer{
		CredentialIssuer: document.CredentialIssuer, CredentialConfigurationIDs: []string{document.ConfigurationID},
		Grants: oid4vci.OfferGrants{
			PreAuthorizedCode: &oid4vci.PreAuthorizedCodeGrant{AuthorizationServer: token.AuthorizationServer},
		},
	}
	issuer, err := w.issuer(ctx, offer, nil)
	if err != nil {
		return nil, err
	}
	answer, err := attempt(ctx, w, func() (oid4vci.TokenResponse, error) { return w.client.Refresh(ctx, issuer, token.Token) })
	if err != nil {
		return nil, err
	}
	if answer.RefreshToken != "" { // without one, the old one stays (RFC 6749, 6)
		token.Token = answer.RefreshToken
		if err := w.store.saveToken(id, token); err != nil {
			return nil, err
		}
	}
	switch begun, err := w.store.pending(refreshID(id)); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return nil, err
	default:
		// What was asked for may have been issued, to these keys and no others: they go first.
		begun.use(answer)
		if err := w.store.savePending(begun); err != nil {
			return nil, err
		}
		collected, err := w.finish(ctx, begun, issuer)
		if err == nil {
			return &Refreshed{Document: collected.Document, Updated: true}, nil
		}
		if !isOver(err) {
			return nil, err
		}
	}
	if answer.UpdateAvailable != nil && !*answer.UpdateAvailable {
		return &Refreshed{Document: document}, nil
	}
	return w.collectVersion(ctx, document, offer, issuer, answer)
}

// collectVersion collects a newer version of a document with an access token.
func (w *Wallet) collectVersion(
	ctx context.Context, old Document, offer oid4vci.CredentialOffer, issuer *Issuer, token oid4vci.TokenResponse,
) (*Refreshed, error) {
	p := pending{ID: refreshID(old.ID), DocumentID: old.ID, Offer: offer, Replaces: &old, StartedAt: w.now().UTC()}
	var err error
	if p.ConfigurationID, err = w.chooseConfiguration(issuer.Metadata, offer, ""); err != nil {
		return nil, err
	}
	p.use(token)
	if p.KeyIDs, err = w.newKeys(keyCount(issuer.Metadata, len(old.Copies))); err != nil {
		return nil, err
	}
	if err := w.store.savePending(p); err != nil {
		return nil, err
	}
	collected, err := w.finish(ctx, p, issuer)
	if err != nil {
		return nil, err
	}
	return &Refreshed{Document: collected.Document, Updated: true}, nil
}

// refreshID names the collection of a newer version: a document has at most one.
func refreshID(documentID string) string { return "refresh-" + documentID }
