package issuer

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
)

const (
	// listValidity is how long a fetched list counts when no newer one can be had.
	listValidity = 24 * time.Hour
	// claimTime is how long a process has for making a list before another one takes over.
	claimTime = 15 * time.Second
	// afterFailure is the pause before a list that could not be made is tried again.
	afterFailure = 5 * time.Second
	// patience is how long a call waits for the list that another process is making, and a pause between two looks.
	patience, glance = 3 * time.Second, 20 * time.Millisecond
)

// statusOf gives the value a document's entries take when it moves to a state, and whether they change at all. Where the format has one
// bit, only the end of a document shows, and for good; with two bits a disabled document is suspended (F7).
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

// openStatusList adds a list with its decoys.
//
// Everybody can read how many entries of a list are invalid, and so how many documents were canceled (Token Status List, clause 12.4). So
// some entries of every list are invalid from the start and belong to no document: the number is drawn between half of Config.StatusDecoys
// and all of it, the places are drawn from the whole list. They are taken in the database like those of documents, therefore no document
// ever gets one. What decoys cannot hide is what changes from one list to the next. The number of documents needs no hiding: a list has its
// full size from the start.
func (is *Issuer) openStatusList(ctx context.Context, tx *store.Tx, bits int) error {
	l := store.StatusList{ID: newID(), Bits: bits, Capacity: is.cfg.StatusEntries}
	if err := tx.InsertStatusList(ctx, l, is.Now()); err != nil {
		return fmt.Errorf("open status list: %w", err)
	}
	decoys, err := drawDecoys(l.Capacity, l.Capacity*is.cfg.StatusDecoys/1000)
	if err != nil {
		return err
	}
	if err := tx.InsertDecoys(ctx, l.ID, decoys); err != nil {
		return fmt.Errorf("take decoys of status list: %w", err)
	}
	return nil
}

// drawDecoys draws different indices below capacity: most of them, or fewer, down to half as many.
func drawDecoys(capacity, most uint64) ([]uint64, error) {
	n, err := draw(most - most/2 + 1)
	if err != nil {
		return nil, err
	}
	n += most / 2
	drawn := make(map[uint64]bool, n)
	out := make([]uint64, 0, n)
	for uint64(len(out)) < n {
		idx, err := draw(capacity)
		if err != nil {
			return nil, err
		}
		if !drawn[idx] {
			drawn[idx] = true
			out = append(out, idx)
		}
	}
	return out, nil
}

// draw gives a random number below n.
func draw(n uint64) (uint64, error) {
	v, err := rand.Int(rand.Reader, new(big.Int).SetUint64(n))
	if err != nil {
		return 0, fmt.Errorf("read randomness: %w", err)
	}
	return v.Uint64(), nil
}

// StatusListURI is the address of a list: what the MSO names and the list's subject.
func (is *Issuer) StatusListURI(listID string) string {
	return is.StatusListsURI() + "/" + listID
}

// StatusListsURI is the address of the list of lists: what every list and the metadata of the authorization server name.
func (is *Issuer) StatusListsURI() string { return is.cfg.BaseURL + "/status-lists" }

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

// SignedList is one published form of a status list. Its bytes are shared and must not be changed.
type SignedList struct {
	Body []byte
	// Gzip is the body compressed once more; nil for a CWT, which holds little besides the list that is compressed already.
	Gzip      []byte
	MediaType string
	ETag      string // strong, of Body
	// MaxAge is how long a cache may keep the answer: until the next list is due, so that what caches and verifiers keep does not add up to
	// more than Config.StatusRefresh + Config.StatusTTL. 0 = not at all.
	MaxAge time.Duration
}

// statusCache keeps the signed lists that this process serves.
type statusCache struct {
	lists sync.Map // of *servedList by list id
}

// servedList is a list with what this process last served of it.
type servedList struct {
	store.StatusList
	turn chan struct{} // held by the call that looks for a newer one
	last atomic.Pointer[publication]
}

// publication is what was signed together.
type publication struct {
	cwt, jwt SignedList
	builtAt  time.Time
	expires  time.Time
	next     time.Time // when to look for a newer one
}

// StatusList gives the signed list: as a JWT if asked for, else as a CWT.
//
// A list is signed when somebody asks for it and the last one is older than Config.StatusRefresh: at most once in that time by all
// processes together, however many documents changed. The processes share the result through the database and serve it from memory in
// between. A verifier that keeps a list for its ttl so learns of a change within StatusRefresh + StatusTTL. When a list cannot be made, the
// last one is served to its exp, and the failure is logged.
func (is *Issuer) StatusList(ctx context.Context, listID string, asJWT bool) (SignedList, error) {
	l, err := is.servedList(ctx, listID)
	if err != nil {
		return SignedList{}, err
	}
	p := l.last.Load()
	if now := is.Now(); p == nil || !now.Before(p.next) {
		if p, err = is.renew(ctx, l); err != nil {
			return SignedList{}, err
		}
	}
	form := p.cwt
	if asJWT {
		form = p.jwt
	}
	form.MaxAge = min(max(p.next.Sub(is.Now()), 0), is.cfg.StatusTTL)
	return form, nil
}

// servedList finds a list. Only lists that exist are remembered.
func (is *Issuer) servedList(ctx context.Context, listID string) (*servedList, error) {
	if known, ok := is.statusCache.lists.Load(listID); ok {
		return known.(*servedList), nil
	}
	l, err := is.Store.StatusList(ctx, listID)
	if err != nil {
		return nil, found(err, "status list")
	}
	known, _ := is.statusCache.lists.LoadOrStore(listID, &servedList{StatusList: l, turn: make(chan struct{}, 1)})
	return known.(*servedList), nil
}

// renew gives the list of the present time; if there is none, the last one as long as it is valid.
func (is *Issuer) renew(ctx context.Context, l *servedList) (*publication, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for status list: %w", ctx.Err())
	}
	if p := l.last.Load(); p != nil && is.Now().Before(p.next) {
		return p, nil // somebody else looked while this call waited
	}
	// Others wait for what this call does, so it goes on when its caller leaves.
	ctx = context.WithoutCancel(ctx)
	p, err := is.publish(ctx, l)
	if err != nil {
		if p = is.lastPublished(ctx, l); p == nil {
			return nil, err
		}
		is.Log.ErrorContext(ctx, "the status list could not be renewed; the last one is served", "list_id", l.ID, "expires", p.expires,
			"error", err)
	}
	l.last.Store(p)
	return p, nil
}

// lastPublished gives the newest list there is, to be served until the next try; nil if it has expired.
func (is *Issuer) lastPublished(ctx context.Context, l *servedList) *publication {
	p := l.last.Load()
	if stored, err := is.Store.StatusToken(ctx, l.ID); err == nil && stored.Revision > 0 && (p == nil || stored.BuiltAt.After(p.builtAt)) {
		p = is.publication(stored)
	}
	now := is.Now()
	if p == nil || !now.Before(p.expires) {
		return nil
	}
	kept := *p
	kept.next = now.Add(min(afterFailure, is.cfg.StatusRefresh))
	return &kept
}

// publish gives a list that is younger than StatusRefresh: the one another process made, or one made here.
func (is *Issuer) publish(ctx context.Context, l *servedList) (*publication, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	over := time.After(patience)
	for first := true; ; first = false {
		stored, err := is.Store.StatusToken(ctx, l.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("load signed status list: %w", err)
		}
		now := is.Now()
		if stored.Revision > 0 && now.Sub(stored.BuiltAt.Time) < is.cfg.StatusRefresh {
			return is.publication(stored), nil
		}
		claim := newID()
		claimed, err := is.Store.ClaimStatusToken(ctx, l.ID, claim, now, now.Add(-is.cfg.StatusRefresh), now.Add(claimTime))
		if err != nil {
			return nil, fmt.Errorf("claim status list: %w", err)
		}
		if claimed {
			return is.make(ctx, l, claim, now)
		}
		if !first && !stored.Claimed {
			return nil, errors.New("make status list: it failed a moment ago")
		}
		select {
		case <-over:
			return nil, errors.New("make status list: another process has begun and does not finish")
		case <-time.After(glance):
		}
	}
}

// make builds, signs and stores the list of the moment in which it was claimed.
func (is *Issuer) make(ctx context.Context, l *servedList, claim string, at time.Time) (*publication, error) {
	signed, err := is.signList(ctx, l, at)
	if err == nil {
		err = is.Store.StoreStatusToken(ctx, l.ID, claim, signed)
	}
	if err == nil {
		return is.publication(signed), nil
	}
	// The context may be what failed.
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	again := is.Now().Add(min(afterFailure, is.cfg.StatusRefresh))
	if releaseErr := is.Store.ReleaseStatusToken(release, l.ID, claim, again); releaseErr != nil {
		err = errors.Join(err, fmt.Errorf("release status list: %w", releaseErr))
	}
	return nil, err
}

// signList reads what is not valid and signs both forms.
func (is *Issuer) signList(ctx context.Context, l *servedList, at time.Time) (store.StatusToken, error) {
	entries, err := is.Store.SetStatusEntries(ctx, l.ID)
	if err != nil {
		return store.StatusToken{}, fmt.Errorf("load status entries: %w", err)
	}
	list, err := statuslist.Build(l.Bits, l.Capacity, func(yield func(uint64, statuslist.Status) bool) {
		for _, e := range entries {
			if !yield(e.Idx, statuslist.Status(e.Value)) {
				return
			}
		}
	})
	if err != nil {
		return store.StatusToken{}, fmt.Errorf("build status list: %w", err)
	}
	by, err := is.authority.statusSigner(ctx, is)
	if err != nil {
		return store.StatusToken{}, err
	}
	if is.Now().Sub(at) > claimTime/2 {
		return store.StatusToken{}, errors.New("sign status list: it took so long that another process may be at it")
	}
	token := statuslist.Token{Subject: is.StatusListURI(l.ID), IssuedAt: at, Expires: earlierOf(at.Add(listValidity), by.cert.NotAfter),
		TTL: is.cfg.StatusTTL, AggregationURI: is.StatusListsURI(), List: list}
	signed, err := token.Sign(statuslist.Signer{Key: by.key, Chain: []*x509.Certificate{by.cert}})
	if err != nil {
		return store.StatusToken{}, fmt.Errorf("sign status list: %w", err)
	}
	return store.StatusToken{CWT: signed.CWT, JWT: []byte(signed.JWT), BuiltAt: store.At(at), ExpiresAt: store.At(token.Expires)}, nil
}

// publication makes of a signed list what is served.
func (is *Issuer) publication(t store.StatusToken) *publication {
	p := &publication{builtAt: t.BuiltAt.Time, expires: t.ExpiresAt.Time, next: t.BuiltAt.Add(is.cfg.StatusRefresh),
		cwt: SignedList{Body: t.CWT, MediaType: statuslist.MediaTypeCWT, ETag: entityTag(t.CWT)},
		jwt: SignedList{Body: t.JWT, MediaType: statuslist.MediaTypeJWT, ETag: entityTag(t.JWT)}}
	var smaller bytes.Buffer
	w := gzip.NewWriter(&smaller)
	_, err := w.Write(t.JWT)
	if err = errors.Join(err, w.Close()); err == nil { // memory takes everything
		p.jwt.Gzip = smaller.Bytes()
	}
	return p
}

func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}
