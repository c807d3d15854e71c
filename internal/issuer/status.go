package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
)

// listValidity is how long a fetched list counts when no newer one can be had.
const listValidity = 24 * time.Hour

// statusOf gives the value a document's entries take when it moves to a state, and whether they change at all. Where the format has one bit, only
// the end of a document shows, and for good; with two bits a disabled document is suspended (F7).
func (is *Issuer) statusOf(d domain.Document, to domain.DocumentState) (value statuslist.Status, changes bool) {
	switch to {
	case domain.DocumentCanceled, domain.DocumentSuperseded:
		return statuslist.Invalid, true
	case domain.DocumentDisabled:
		return statuslist.Suspended, is.suspends(d)
	case domain.DocumentActive:
		return statuslist.Valid, is.suspends(d)
	case domain.DocumentPrepared, domain.DocumentExpired:
	}
	return 0, false
}

func (is *Issuer) suspends(d domain.Document) bool {
	f, ok := is.Formats.GetVersion(d.FormatID, d.FormatVersion)
	return ok && f.StatusBits > 1
}

// StatusListURI is the address of a list: what the MSO names and the list's subject.
func (is *Issuer) StatusListURI(listID string) string {
	return is.cfg.BaseURL + "/status-lists/" + listID
}

// StatusListURIs gives the address of every list, for verifiers that want them all.
func (is *Issuer) StatusListURIs(ctx context.Context) ([]string, error) {
	lists, err := is.Store.StatusLists(ctx)
	if err != nil {
		return nil, fmt.Errorf("load status lists: %w", err)
	}
	out := make([]string, len(lists))
	for i, l := range lists {
		out[i] = is.StatusListURI(l.ID)
	}
	return out, nil
}

// SignedList is one published form of a status list.
type SignedList struct {
	Body      []byte
	MediaType string
	ETag      string
	MaxAge    time.Duration
}

// listForms are the signed forms of a list as they were built together.
type listForms struct {
	cwt, jwt SignedList
	builtAt  time.Time
}

// statusCache keeps the signed lists of this process. A list is built and signed at most once in Config.StatusRefresh, however many documents
// change, and a change shows within that time.
type statusCache struct {
	mu    sync.Mutex
	lists map[string]listForms
}

// StatusList gives the signed list: as a JWT if asked for, else as a CWT.
func (is *Issuer) StatusList(ctx context.Context, listID string, asJWT bool) (SignedList, error) {
	c := &is.statusCache
	c.mu.Lock()
	defer c.mu.Unlock()
	forms, ok := c.lists[listID]
	if !ok || is.Now().Sub(forms.builtAt) >= is.cfg.StatusRefresh {
		list, err := is.Store.StatusList(ctx, listID)
		if err != nil {
			return SignedList{}, found(err, "status list")
		}
		if forms, err = is.buildList(ctx, list); err != nil {
			return SignedList{}, err
		}
		if c.lists == nil {
			c.lists = map[string]listForms{}
		}
		c.lists[listID] = forms
	}
	if asJWT {
		return forms.jwt, nil
	}
	return forms.cwt, nil
}

// buildList reads what is not valid and signs both forms.
func (is *Issuer) buildList(ctx context.Context, l store.StatusList) (listForms, error) {
	now := is.Now()
	entries, err := is.Store.SetStatusEntries(ctx, l.ID)
	if err != nil {
		return listForms{}, fmt.Errorf("load status entries: %w", err)
	}
	list, err := statuslist.Build(l.Bits, l.Capacity, func(yield func(uint64, statuslist.Status) bool) {
		for _, e := range entries {
			if !yield(e.Idx, statuslist.Status(e.Value)) {
				return
			}
		}
	})
	if err != nil {
		return listForms{}, fmt.Errorf("build status list: %w", err)
	}
	by, err := is.authority.statusSigner(ctx, is)
	if err != nil {
		return listForms{}, err
	}
	token := statuslist.Token{Subject: is.StatusListURI(l.ID), IssuedAt: now, Expires: earlierOf(now.Add(listValidity), by.cert.NotAfter),
		TTL: is.cfg.StatusTTL, AggregationURI: is.cfg.BaseURL + "/status-lists", List: list}
	signing := statuslist.Signer{Key: by.key, Chain: []*x509.Certificate{by.cert}}
	signed, err := token.Sign(signing)
	if err != nil {
		return listForms{}, fmt.Errorf("sign status list: %w", err)
	}
	return listForms{builtAt: now, cwt: is.published(signed.CWT, statuslist.MediaTypeCWT),
		jwt: is.published([]byte(signed.JWT), statuslist.MediaTypeJWT)}, nil
}

func (is *Issuer) published(body []byte, mediaType string) SignedList {
	sum := sha256.Sum256(body)
	return SignedList{Body: body, MediaType: mediaType, ETag: `"` + hex.EncodeToString(sum[:16]) + `"`, MaxAge: is.cfg.StatusTTL}
}
