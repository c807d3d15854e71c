package wallet

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mdocket/mdocket/internal/oid4vci"
)

// CollectOptions are the choices of one collection.
type CollectOptions struct {
	// Keys is how many device keys to prove, and so how many copies to ask for; 1 if 0. The issuer's batch_size bounds it.
	Keys int
	// ConfigurationID chooses among the configurations of the offer; empty takes the first one that is an mdoc.
	ConfigurationID string
	// Issuer is metadata fetched before with Client.Metadata; nil fetches it.
	Issuer *Issuer
}

// Collected is the outcome of a collection.
type Collected struct {
	Document Document
	// Requests is how many requests for the credential were sent; more than 1 when an answer was lost or refused for the
	// moment.
	Requests int
	// Notified tells whether the issuer has taken the notification that the document is stored.
	Notified bool
}

// PendingCollection is a collection that was begun and not finished.
type PendingCollection struct {
	ID               string
	CredentialIssuer string
	ConfigurationID  string
	StartedAt        time.Time
	Deferred         bool // the issuer said that it issues later
}

// Collect collects the document that a link offers: see Client.FetchOffer for the links. txCode is the transaction code as
// the holder entered it; it is not sent when the offer does not ask for one.
//
// The device keys are on disk before the credential is asked for. When a collection of the same offer was broken off after
// its code was redeemed, Collect goes on with that one and its keys. Errors are those of Client and
// ErrTransactionCodeNeeded, *DeferredError, ErrBadDocument.
func (w *Wallet) Collect(ctx context.Context, offerLink, txCode string, o CollectOptions) (*Collected, error) {
	offer, err := attempt(ctx, w, func() (oid4vci.CredentialOffer, error) { return w.client.FetchOffer(ctx, offerLink) })
	if err != nil {
		return nil, err
	}
	grant := offer.Grants.PreAuthorizedCode
	if grant == nil {
		return nil, fmt.Errorf("collect: %w: an offer without pre-authorized code", ErrUnsupported)
	}
	id := collectionID(offer)
	switch begun, err := w.store.pending(id); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return nil, err
	default:
		collected, err := w.finish(ctx, begun, o.Issuer)
		if !isTokenRefused(err) {
			return collected, err
		}
	}
	if txCode, err = prepareTxCode(grant.TxCode, txCode); err != nil {
		return nil, err
	}
	issuer, err := w.issuer(ctx, offer, o.Issuer)
	if err != nil {
		return nil, err
	}
	p := pending{ID: id, DocumentID: strings.ToLower(rand.Text()), Offer: offer, StartedAt: w.now().UTC()}
	if p.ConfigurationID, err = w.chooseConfiguration(issuer.Metadata, offer, o.ConfigurationID); err != nil {
		return nil, err
	}
	token, err := attempt(ctx, w, func() (oid4vci.TokenResponse, error) { return w.client.Token(ctx, issuer, offer, txCode) })
	if err != nil {
		return nil, err
	}
	p.RefreshToken = token.RefreshToken
	p.use(token)
	if p.KeyIDs, err = w.newKeys(keyCount(issuer.Metadata, o.Keys)); err != nil {
		return nil, err
	}
	if err := w.store.savePending(p); err != nil {
		return nil, err
	}
	return w.finish(ctx, p, issuer)
}

// use makes the collection go on with an access token.
func (p *pending) use(token oid4vci.TokenResponse) {
	p.AccessToken, p.Identifier = token.AccessToken, ""
	if identifiers := token.CredentialIdentifiers(p.ConfigurationID); len(identifiers) > 0 {
		p.Identifier = identifiers[0]
	}
}

// Pending lists the collections that were begun and not finished.
func (w *Wallet) Pending() ([]PendingCollection, error) {
	all, err := w.store.allPending()
	if err != nil {
		return nil, err
	}
	listed := make([]PendingCollection, 0, len(all))
	for _, p := range all {
		listed = append(listed, PendingCollection{
			ID: p.ID, CredentialIssuer: p.Offer.CredentialIssuer, ConfigurationID: p.ConfigurationID,
			StartedAt: p.StartedAt, Deferred: p.TransactionID != "",
		})
	}
	return listed, nil
}

// Resume goes on with a collection that was broken off or deferred, with the device keys it was begun with. Errors are as
// for Collect, and ErrNotFound.
func (w *Wallet) Resume(ctx context.Context, collectionID string) (*Collected, error) {
	p, err := w.store.pending(collectionID)
	if err != nil {
		return nil, err
	}
	return w.finish(ctx, p, nil)
}

// Discard forgets a collection that was begun, with its device keys. What the issuer has issued for them is lost, unless it
// is in the store. The error is ErrNotFound or one of the file system.
func (w *Wallet) Discard(collectionID string) error {
	p, err := w.store.pending(collectionID)
	if err != nil {
		return err
	}
	document, _, err := w.stored(p)
	if err != nil {
		return err
	}
	return w.forget(p, document.Copies)
}

// collectionID names a collection after its offer, so that a second run with the same link finds it. The code in it is
// too long to be guessed from the digest.
func collectionID(offer oid4vci.CredentialOffer) string {
	sum := sha256.Sum256([]byte(offer.CredentialIssuer + "\n" + offer.Grants.PreAuthorizedCode.PreAuthorizedCode))
	return hex.EncodeToString(sum[:16])
}

// prepareTxCode returns the transaction code to send.
func prepareTxCode(asked *oid4vci.TxCode, entered string) (string, error) {
	if asked == nil {
		return "", nil
	}
	code := strings.TrimSpace(entered)
	if asked.InputMode != oid4vci.InputModeText {
		code = oid4vci.NormalizeTxCode(entered)
	}
	if code == "" {
		return "", ErrTransactionCodeNeeded
	}
	return code, nil
}

// issuer returns the metadata given, or fetches it.
func (w *Wallet) issuer(ctx context.Context, offer oid4vci.CredentialOffer, given *Issuer) (*Issuer, error) {
	if given == nil {
		return attempt(ctx, w, func() (*Issuer, error) { return w.client.Metadata(ctx, offer) })
	}
	if given.Metadata.CredentialIssuer != offer.CredentialIssuer {
		return nil, fmt.Errorf("collect: %w", oid4vci.ErrIssuerMismatch)
	}
	return given, nil
}

// chooseConfiguration finds the offered configuration to ask for and checks that the wallet can do what it demands.
func (w *Wallet) chooseConfiguration(m oid4vci.IssuerMetadata, offer oid4vci.CredentialOffer, wanted string) (string, error) {
	if e := m.CredentialRequestEncryption; e != nil && e.EncryptionRequired {
		return "", fmt.Errorf("choose configuration: %w: encrypted requests", ErrUnsupported)
	}
	if e := m.ResponseEncryption; e != nil && e.EncryptionRequired {
		return "", fmt.Errorf("choose configuration: %w: encrypted responses", ErrUnsupported)
	}
	for _, id := range offer.CredentialConfigurationIDs {
		configuration, published := m.CredentialConfigurations[id]
		switch {
		case !published:
			return "", fmt.Errorf("choose configuration: %w: the offer names one the issuer does not publish", ErrBadAnswer)
		case wanted != "" && id != wanted, wanted == "" && configuration.Format != oid4vci.FormatMdoc:
			continue
		default:
			return id, w.checkConfiguration(configuration)
		}
	}
	return "", fmt.Errorf("choose configuration: %w: the offer has no such mdoc", ErrUnsupported)
}

func (w *Wallet) checkConfiguration(c oid4vci.CredentialConfiguration) error {
	proof, takesJWT := c.ProofTypes[oid4vci.ProofTypeJWT]
	switch {
	case c.Format != oid4vci.FormatMdoc:
		return fmt.Errorf("choose configuration: %w: format", ErrUnsupported)
	case !slices.Contains(c.BindingMethods, oid4vci.BindingCOSEKey) || !takesJWT:
		return fmt.Errorf("choose configuration: %w: key binding", ErrUnsupported)
	case !slices.Contains(proof.SigningAlgs, oid4vci.ProofAlgorithm(w.curve)):
		return fmt.Errorf("choose configuration: %w: the issuer does not take the curve of the device keys", ErrUnsupported)
	default:
		return w.checkAttestations(proof)
	}
}

// keyCount bounds the number of keys by what the issuer takes in one request.
func keyCount(m oid4vci.IssuerMetadata, wanted int) int {
	most := 1
	if m.BatchCredentialIssuance != nil {
		most = m.BatchCredentialIssuance.BatchSize
	}
	return max(1, min(wanted, most))
}

// newKeys makes device keys and returns their ids once all are on disk.
func (w *Wallet) newKeys(count int) ([]string, error) {
	ids := make([]string, 0, count)
	for range count {
		key, err := ecdsa.GenerateKey(w.curve, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make device key: %w", err)
		}
		id, err := w.store.saveKey(key)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// finish asks for the credential of a collection on disk, checks it, stores it and forgets the collection. After an error
// the collection stays, unless the error says that it can never be finished.
func (w *Wallet) finish(ctx context.Context, p pending, given *Issuer) (*Collected, error) {
	// The wallet may have stopped after the document was stored and before the collection was forgotten.
	switch document, done, err := w.stored(p); {
	case err != nil:
		return nil, err
	case done:
		return &Collected{Document: document}, w.forget(p, document.Copies)
	}
	issuer, err := w.issuer(ctx, p.Offer, given)
	if err != nil {
		return nil, err
	}
	configuration, published := issuer.Metadata.CredentialConfigurations[p.ConfigurationID]
	if !published {
		return nil, fmt.Errorf("collect: %w: the configuration is no longer published", ErrBadAnswer)
	}
	keys, err := w.keysOf(p)
	if err != nil {
		return nil, err
	}
	response, requests, err := w.obtain(ctx, &p, issuer, keys)
	if isOver(err) {
		return nil, errors.Join(err, w.forget(p, nil))
	}
	if err != nil {
		return nil, err
	}
	document := Document{
		ID: p.DocumentID, DocType: configuration.DocType, CredentialIssuer: p.Offer.CredentialIssuer,
		ConfigurationID: p.ConfigurationID, CollectedAt: w.now().UTC(),
	}
	if p.Replaces != nil {
		document.Version = p.Replaces.Version + 1
	}
	event := oid4vci.NotificationRequest{NotificationID: response.NotificationID, Event: oid4vci.CredentialAccepted}
	if err := w.keep(&document, response, p); err != nil {
		event.Event = oid4vci.CredentialFailure
		w.notify(ctx, issuer, p.AccessToken, event)
		return nil, err
	}
	collected := &Collected{Document: document, Requests: requests}
	collected.Notified = w.notify(ctx, issuer, p.AccessToken, event)
	if err := w.forget(p, document.Copies); err != nil {
		return nil, err
	}
	return collected, nil
}

// stored gives the document of a collection that is in the store already.
func (w *Wallet) stored(p pending) (document Document, done bool, err error) {
	document, err = w.store.Document(p.DocumentID)
	if errors.Is(err, ErrNotFound) {
		return Document{}, false, nil
	}
	if err != nil || len(document.Copies) == 0 || !slices.Contains(p.KeyIDs, document.Copies[0].KeyID) {
		return Document{}, false, err
	}
	return document, true, nil
}

func (w *Wallet) keysOf(p pending) ([]*ecdsa.PrivateKey, error) {
	keys := make([]*ecdsa.PrivateKey, 0, len(p.KeyIDs))
	for _, id := range p.KeyIDs {
		key, err := w.store.key(id)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// obtain gets the credentials, from the deferred endpoint if the issuer has put the wallet off before. It returns how many
// requests it sent.
func (w *Wallet) obtain(
	ctx context.Context, p *pending, issuer *Issuer, keys []*ecdsa.PrivateKey,
) (response oid4vci.CredentialResponse, requests int, err error) {
	if p.TransactionID != "" {
		response, err = attempt(ctx, w, func() (oid4vci.CredentialResponse, error) {
			requests++
			return w.client.Deferred(ctx, issuer, p.AccessToken, p.TransactionID)
		})
	}
	// A transaction that is over may have delivered into an answer that was lost: the keys still lead to the document.
	if p.TransactionID == "" || hasCode(err, oid4vci.InvalidTransactionID) {
		var sent int
		response, sent, err = w.request(ctx, *p, issuer, keys)
		requests += sent
	}
	if err != nil {
		return oid4vci.CredentialResponse{}, requests, err
	}
	if response.TransactionID == "" {
		return response, requests, nil
	}
	if p.TransactionID != response.TransactionID {
		p.TransactionID = response.TransactionID
		if err := w.store.savePending(*p); err != nil {
			return oid4vci.CredentialResponse{}, requests, err
		}
	}
	interval := time.Duration(min(response.Interval, int(maxInterval/time.Second))) * time.Second
	return oid4vci.CredentialResponse{}, requests, &DeferredError{CollectionID: p.ID, Interval: interval}
}

// maxInterval is the longest the wallet lets an issuer put it off.
const maxInterval = 30 * 24 * time.Hour

// request sends the credential request, with the same keys and a fresh nonce each time, until there is an answer. A nonce
// the issuer refuses is replaced once.
func (w *Wallet) request(
	ctx context.Context, p pending, issuer *Issuer, keys []*ecdsa.PrivateKey,
) (response oid4vci.CredentialResponse, sent int, err error) {
	send := func() (oid4vci.CredentialResponse, error) {
		nonce, err := w.client.Nonce(ctx, issuer)
		if err != nil {
			return oid4vci.CredentialResponse{}, err
		}
		attestation, err := w.attest(issuer.Metadata.CredentialConfigurations[p.ConfigurationID], keys, nonce)
		if err != nil {
			return oid4vci.CredentialResponse{}, err
		}
		proofs, err := w.client.AttestedProofs(issuer, keys, nonce, attestation)
		if err != nil {
			return oid4vci.CredentialResponse{}, err
		}
		request := oid4vci.CredentialRequest{CredentialIdentifier: p.Identifier, Proofs: oid4vci.Proofs{JWT: proofs}}
		if p.Identifier == "" {
			request.CredentialConfigurationID = p.ConfigurationID
		}
		sent++
		return w.client.Credential(ctx, issuer, p.AccessToken, request)
	}
	nonceReplaced := false
	response, err = attempt(ctx, w, func() (oid4vci.CredentialResponse, error) {
		response, err := send()
		if hasCode(err, oid4vci.InvalidNonce) && !nonceReplaced {
			nonceReplaced = true
			return send()
		}
		return response, err
	})
	return response, sent, err
}

// keep checks the issued copies and stores them as a document.
func (w *Wallet) keep(document *Document, response oid4vci.CredentialResponse, p pending) error {
	free := slices.Clone(p.KeyIDs)
	copies := make([][]byte, 0, len(response.Credentials))
	for i, credential := range response.Credentials {
		data, err := credential.Mdoc()
		if err != nil {
			return err
		}
		checked, err := checkDocument(data, document.DocType, w.roots, w.now())
		if err != nil {
			return err
		}
		place := slices.Index(free, checked.keyID)
		if place < 0 {
			return fmt.Errorf("%w: not bound to a device key that was proved, or bound to one twice", ErrBadDocument)
		}
		free = slices.Delete(free, place, place+1)
		if i == 0 {
			document.Signed, document.ValidFrom, document.ValidUntil = checked.signed, checked.validFrom, checked.validUntil
		}
		document.Copies = append(document.Copies, Copy{KeyID: checked.keyID})
		copies = append(copies, data)
	}
	if p.RefreshToken != "" {
		token := refreshToken{Token: p.RefreshToken}
		if grant := p.Offer.Grants.PreAuthorizedCode; grant != nil {
			token.AuthorizationServer = grant.AuthorizationServer
		}
		if err := w.store.saveToken(document.ID, token); err != nil {
			return err
		}
	}
	return w.store.saveDocument(*document, copies)
}

// notify reports the event if the issuer asked for it. A report that does not get through changes nothing for the wallet.
func (w *Wallet) notify(ctx context.Context, issuer *Issuer, accessToken string, event oid4vci.NotificationRequest) bool {
	if event.NotificationID == "" || issuer.Metadata.NotificationEndpoint == "" {
		return false
	}
	return w.client.Notify(ctx, issuer, accessToken, event) == nil
}

// forget removes a collection, those of its keys that no copy is bound to and, if there are copies, the version that they
// replace.
func (w *Wallet) forget(p pending, used []Copy) error {
	if p.Replaces != nil && len(used) > 0 {
		if err := w.store.deleteVersion(*p.Replaces, used); err != nil {
			return err
		}
	}
	if err := w.store.deletePending(p.ID); err != nil {
		return err
	}
	for _, id := range p.KeyIDs {
		if slices.Contains(used, Copy{KeyID: id}) {
			continue
		}
		if err := w.store.deleteKey(id); err != nil {
			return err
		}
	}
	return nil
}

// attempt does a step again while it fails for the moment, within the bounds of the wallet's Retry.
func attempt[T any](ctx context.Context, w *Wallet, step func() (T, error)) (T, error) {
	pause := w.retry.Backoff
	for n := 1; ; n++ {
		result, err := step()
		if err == nil || n >= w.retry.Attempts || !isTransient(err) {
			return result, err
		}
		wait := min(pause, w.retry.MaxWait)
		var refused *ProtocolError
		if errors.As(err, &refused) && refused.RetryAfter > 0 {
			wait = refused.RetryAfter
		}
		if wait > w.retry.MaxWait {
			return result, err
		}
		if stopped := w.wait(ctx, wait); stopped != nil {
			return result, errors.Join(stopped, err)
		}
		pause *= 2
	}
}
