package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha3"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/failpoint"
	"github.com/mdocket/mdocket/internal/format"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/statuslist"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/workflows/messages"
)

const seedSize = 32

// work is what signing one document looks at.
type work struct {
	act      store.Act
	request  domain.Request
	facts    domain.Facts
	format   *format.Format
	keys     []*ecdsa.PublicKey
	document domain.Document
	copies   []domain.Copy
	signer   signer
	digest   string // of the data, where a change of them is looked at
}

// Sign carries out a collect act (H5): prepare and check → record the intent → sign → store, where the first stored result wins → the document is
// active. It may be called any number of times, in several processes at once: a request ends with one document, and every status index that was
// taken for an attempt that lost is invalid.
//
// What the rules refuse is kept with the request and is the error, unless it ended the request (C4): then the snapshot says so.
func (is *Issuer) Sign(ctx context.Context, ref messages.ActRef) (messages.Snapshot, error) {
	w, done, err := is.prepare(ctx, ref)
	switch {
	case err == nil && done:
		return is.reload(ctx, w.request.ID)
	case err == nil:
		err = is.sign(ctx, w)
	}
	refused, ok := asDomain(err)
	switch {
	case ok && refused.Code.RefusesCollection():
		return is.refuseCollection(ctx, w.request, refused)
	case ok && refused.Code == domain.CodeWrongState && w.request.Kind() == domain.RequestUpdate:
		return is.refuseUpdate(ctx, w.request, refused)
	}
	if err != nil {
		return messages.Snapshot{}, err
	}
	return messages.Snapshot{State: domain.RequestIssued, Generation: w.request.Generation}, nil
}

// sign is what Sign does for a collection that was prepared.
func (is *Issuer) sign(ctx context.Context, w work) error {
	started := is.Now()
	if err := is.recordIntent(ctx, &w); err != nil {
		return err
	}
	failpoint.Hit("sign.intent")
	signed, err := is.signCopies(ctx, &w)
	defer giveBack(signed)
	if err != nil {
		return err
	}
	failpoint.Hit("sign.signed")
	if err := is.storeSigned(ctx, w, signed); err != nil {
		return err
	}
	failpoint.Hit("sign.stored")
	is.Metrics.DocumentIssued(w.document.DocType)
	is.Metrics.Signed(is.Now().Sub(started))
	return nil
}

// prepare loads and checks. done means that the document is issued to these keys already.
func (is *Issuer) prepare(ctx context.Context, ref messages.ActRef) (w work, done bool, err error) {
	if w.act, err = is.Store.Act(ctx, ref.ActID); err != nil {
		return w, false, found(err, "act")
	}
	if w.request, err = is.Store.Request(ctx, w.act.RequestID); err != nil {
		return w, false, found(err, "request")
	}
	if len(w.act.Params.Keys) != len(w.act.Params.Thumbprints) {
		return w, false, errors.New("read keys of act: not each has a thumbprint")
	}
	for i, der := range w.act.Params.Keys {
		key, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return w, false, fmt.Errorf("read key of act: %w", err)
		}
		ec, ok := key.(*ecdsa.PublicKey)
		if !ok {
			return w, false, errors.New("read key of act: not an EC key")
		}
		w.keys = append(w.keys, ec)
		w.copies = append(w.copies, domain.Copy{N: i, KeyThumbprint: w.act.Params.Thumbprints[i], PublicKey: der})
	}
	if w.request.State == domain.RequestIssued {
		stored, err := is.Store.Copies(ctx, w.request.DocumentID)
		if err != nil {
			return w, false, fmt.Errorf("load copies: %w", err)
		}
		if !sameKeys(stored, w.copies) {
			return w, false, collectedElsewhere()
		}
		return w, true, nil
	}
	if err := allowed(domain.ActCollect, w.request); err != nil {
		return w, false, err
	}
	if w.act.Params.Generation != w.request.Generation {
		return w, false, domain.Errorf(domain.CodeOfferInvalid, "a newer link and code were sent")
	}
	if err := is.checkReplaced(ctx, is.Store.Queries, w.request); err != nil {
		return w, false, err
	}
	w.facts, err = is.facts(ctx, domain.AtCollection,
		NewRequest{PersonID: w.request.PersonID, ProfileID: w.request.ProfileID, ExpiryDate: w.request.ExpiryDate})
	if err != nil {
		return w, false, err
	}
	w.facts.Channel = w.request.Channel
	verdict := w.facts.Judge()
	if err := verdict.Err(); err != nil {
		return w, false, err
	}
	until, profile := verdict.ValidUntil, w.facts.Profile
	w.format, _ = is.Formats.Get(profile.Options.Format) // known, the rules say
	if w.signer, err = is.authority.documentSigner(ctx, is, until); err != nil {
		return w, false, err
	}
	now := w.facts.Now.UTC().Truncate(time.Second)
	w.document = domain.Document{ID: newID(), RequestID: w.request.ID, ActID: w.act.ID, PersonID: w.facts.Person.ID, ProfileID: profile.ID,
		ProfileVersion: profile.Version, FormatID: w.format.ID, FormatVersion: w.format.Version, DocType: w.format.DocType,
		Platform: w.act.Params.Platform, State: domain.DocumentPrepared, CredentialGroup: profile.Options.CredentialGroup,
		ExclusiveGroup: profile.Options.ExclusiveGroup, SignerID: w.signer.id, SignedAt: now, ValidFrom: now, ValidUntil: until,
		Copies: len(w.keys), CreatedAt: now, UpdatedAt: now}
	return w, false, nil
}

// recordIntent writes down what is about to be signed: document, serial number, keys, seeds and status indices. An earlier intent of the request
// that was never finished is taken over: with the same keys it is used as it is, with other keys its status indices become invalid.
func (is *Issuer) recordIntent(ctx context.Context, w *work) error {
	return is.Store.Tx(ctx, func(tx *store.Tx) error {
		// From here to the end of the transaction nobody else can start, end or re-send the request: an intent never outlives it unseen.
		if _, err := tx.HoldRequest(ctx, w.request.ID, w.request.State, w.request.Generation); err != nil {
			return fmt.Errorf("hold request: %w", err)
		}
		doc, copies := w.document, append([]domain.Copy(nil), w.copies...)
		old, err := tx.DocumentOfRequest(ctx, w.request.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if doc.Serial, err = newSerial(); err != nil {
				return err
			}
			if err := tx.InsertDocument(ctx, doc); err != nil {
				return fmt.Errorf("record intent: %w", err)
			}
		case err != nil:
			return fmt.Errorf("load intent: %w", err)
		default:
			doc.ID, doc.Serial, doc.CreatedAt = old.ID, old.Serial, old.CreatedAt
			stored, err := tx.Copies(ctx, old.ID)
			if err != nil {
				return fmt.Errorf("load copies: %w", err)
			}
			if old.State != domain.DocumentPrepared {
				return domain.Errorf(domain.CodeOfferInvalid, "the document was collected or given up")
			}
			if sameKeys(stored, copies) && old.FormatID == doc.FormatID && old.FormatVersion == doc.FormatVersion {
				if err := tx.ReassignIntent(ctx, doc); err != nil {
					return fmt.Errorf("take over intent: %w", err)
				}
				w.document, w.copies = doc, stored
				return nil
			}
			if err := tx.ReplaceIntent(ctx, doc); err != nil {
				return fmt.Errorf("replace intent: %w", err)
			}
			if err := tx.SetStatus(ctx, doc.ID, uint8(statuslist.Invalid)); err != nil {
				return fmt.Errorf("give up status indices: %w", err)
			}
		}
		if err := is.reserve(ctx, tx, doc.ID, w.format.StatusBits, copies); err != nil {
			return err
		}
		for _, c := range copies {
			switch err := tx.InsertCopy(ctx, c); {
			case errors.Is(err, store.ErrExists):
				return domain.Errorf(domain.CodeKeyReused, "a key already belongs to a document; make a new one for each")
			case err != nil:
				return fmt.Errorf("record copy: %w", err)
			}
		}
		e := is.transition(wallet(), "document.prepare", w.request, w.request.State)
		e.Subject, e.DocumentID = doc.ID, doc.ID
		if err := tx.AppendAudit(ctx, e); err != nil {
			return err
		}
		w.document, w.copies = doc, copies
		return nil
	})
}

// reserve gives every copy a seed and a random place in a status list that nobody ever had.
func (is *Issuer) reserve(ctx context.Context, tx *store.Tx, documentID string, bits int, copies []domain.Copy) error {
	list, err := tx.ReserveStatus(ctx, bits, is.cfg.StatusEntries, len(copies))
	if errors.Is(err, store.ErrNotFound) {
		if err := is.openStatusList(ctx, tx, bits); err != nil {
			return err
		}
		list, err = tx.ReserveStatus(ctx, bits, is.cfg.StatusEntries, len(copies))
	}
	if err != nil {
		return fmt.Errorf("reserve status indices: %w", err)
	}
	for i := range copies {
		idx, err := takeIndex(ctx, tx, list, documentID)
		if err != nil {
			return err
		}
		seed := make([]byte, seedSize)
		if _, err := rand.Read(seed); err != nil {
			return fmt.Errorf("read randomness: %w", err)
		}
		copies[i].DocumentID, copies[i].ListID, copies[i].StatusIndex, copies[i].Seed = documentID, list.ID, idx, seed
	}
	return nil
}

// takeIndex tries random places; at most three quarters of a list are ever taken, so a few tries are enough.
func takeIndex(ctx context.Context, tx *store.Tx, list store.StatusList, documentID string) (uint64, error) {
	const tries = 200
	for range tries {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("read randomness: %w", err)
		}
		// The modulus of 64 random bits by a list's capacity (at most 2^31) is even to within 2^-33.
		idx := binary.BigEndian.Uint64(b[:]) % list.Capacity
		ok, err := tx.TakeStatusIndex(ctx, list.ID, idx, documentID)
		if err != nil {
			return 0, fmt.Errorf("take status index: %w", err)
		}
		if ok {
			return idx, nil
		}
	}
	return 0, errors.New("take status index: no free place found")
}

// signCopies builds and signs one mdoc for each key. Salts and digest ids are drawn from the copy's seed, so a repetition after a crash signs the
// same content.
func (is *Issuer) signCopies(ctx context.Context, w *work) ([][]byte, error) {
	images, err := is.Store.Images(ctx, w.facts.Person.ID)
	if err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	spaces, err := w.format.Build(format.Input{Person: w.facts.Person, Images: images, Serial: w.document.Serial, ValidFrom: w.document.ValidFrom,
		ValidUntil: w.document.ValidUntil, Signed: w.document.SignedAt})
	if err != nil {
		return nil, err
	}
	if err := checkJurisdiction(spaces, w.signer.cert); err != nil {
		return nil, err
	}
	if w.facts.Profile.Options.Renewal.OnChange {
		if w.digest, err = is.dataDigest(w.format, w.document.ID, w.facts.Person, images); err != nil {
			return nil, err
		}
	}
	out := make([][]byte, len(w.copies))
	for i, c := range w.copies {
		stream := sha3.NewSHAKE256()
		if _, err := stream.Write(c.Seed); err != nil {
			return nil, fmt.Errorf("draw salts: %w", err)
		}
		issued, err := mdoc.Issue(stream, mdoc.Request{
			DocType: w.document.DocType, NameSpaces: spaces, DigestAlgorithm: w.format.DigestAlgorithm, DeviceKey: w.keys[i],
			Signed: w.document.SignedAt, ValidFrom: w.document.ValidFrom, ValidUntil: w.document.ValidUntil,
			ExpectedUpdate: w.format.ExpectedUpdate(w.document.SignedAt, w.document.ValidUntil),
			Status:         &mdoc.StatusRef{Index: c.StatusIndex, URI: is.StatusListURI(c.ListID)},
			Buffer:         *buffers.Get().(*[]byte),
		}, w.signer.signing())
		if err != nil {
			return out, fmt.Errorf("sign document: %w", err)
		}
		out[i] = issued.Bytes
	}
	return out, nil
}

// checkJurisdiction holds the issuing jurisdiction of an mDL to the state or province of its signer, where both are given (ISO/IEC 18013-5 7.2.1).
func checkJurisdiction(spaces []mdoc.NameSpace, signer *x509.Certificate) error {
	if len(signer.Subject.Province) == 0 {
		return nil
	}
	for _, ns := range spaces {
		for _, e := range ns.Elements {
			if e.Identifier == "issuing_jurisdiction" && e.Value != signer.Subject.Province[0] {
				return &domain.Error{Code: domain.CodeMissingData, Message: "the document does not fit its signer", Fields: []domain.FieldError{
					{Field: "issuing_jurisdiction", Problem: "must be the state or province of the document signer certificate"}}}
			}
		}
	}
	return nil
}

// buffers holds memory for signed documents. They are tens of kilobytes each and needed only until they are stored.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func giveBack(signed [][]byte) {
	for _, b := range signed {
		if b != nil {
			buffers.Put(&b)
		}
	}
}

// storeSigned keeps the result, activates the document, ends the request and deals with the documents it replaces (B4), in one transaction.
func (is *Issuer) storeSigned(ctx context.Context, w work, signed [][]byte) error {
	err := is.Store.Tx(ctx, func(tx *store.Tx) error {
		now := is.Now()
		// One document of a person at a time, or two of the same group could miss each other.
		if err := tx.HoldPerson(ctx, w.document.PersonID); err != nil {
			return fmt.Errorf("hold person: %w", err)
		}
		others, err := is.checkHeld(ctx, tx, w)
		if err != nil {
			return err
		}
		if err := is.holdReplaced(ctx, tx, w.request); err != nil {
			return err
		}
		next, err := tx.HoldRequest(ctx, w.request.ID, w.request.State, w.request.Generation)
		if err != nil {
			return fmt.Errorf("hold request: %w", err)
		}
		if err := tx.Activate(ctx, w.document, is.firstPlan(w), now); err != nil {
			return fmt.Errorf("activate document: %w", err)
		}
		for i, b := range signed {
			if err := tx.StoreSigned(ctx, w.document.ID, w.copies[i].N, b); err != nil {
				return fmt.Errorf("store document: %w", err)
			}
		}
		next.State, next.DocumentID, next.FailureCode, next.UpdatedAt = domain.RequestIssued, w.document.ID, "", now
		if err := tx.MoveRequest(ctx, next, w.request.State, w.request.Generation); err != nil {
			return fmt.Errorf("end request: %w", err)
		}
		if err := tx.ReplaceMessages(ctx, next.ID, now); err != nil {
			return fmt.Errorf("drop messages: %w", err)
		}
		if err := is.queueOutcome(ctx, tx, next, w.facts.Profile, w.facts.Person); err != nil {
			return err
		}
		if err := tx.MarkActApplied(ctx, w.act.ID); err != nil {
			return fmt.Errorf("mark act: %w", err)
		}
		issued := is.transition(wallet(), "request.issue", next, w.request.State)
		if err := noteAttestations(&issued, w.act.Params.Attestations); err != nil {
			return err
		}
		entries := []domain.AuditEntry{issued}
		replaced, err := is.supersede(ctx, tx, w, others)
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, append(entries, replaced...)...)
	})
	if errors.Is(err, store.ErrChanged) {
		// Somebody was faster: another attempt with the same keys, another wallet, a cancellation. The next try finds out which.
		return fmt.Errorf("first result wins: %w", err)
	}
	return err
}

// checkHeld looks once more, with the person locked, at what could have changed since the rules were asked: the person, which makes the whole
// collection worth another try, and the documents they hold (B5), of which it locks the one that this is derived from. It gives those documents.
func (is *Issuer) checkHeld(ctx context.Context, tx *store.Tx, w work) ([]domain.Document, error) {
	person, err := tx.Person(ctx, w.document.PersonID)
	if err != nil {
		return nil, fmt.Errorf("load person: %w", err)
	}
	if person.Version != w.facts.Person.Version {
		return nil, fmt.Errorf("check person: %w", store.ErrChanged)
	}
	f := w.facts
	if f.Documents, err = tx.LiveDocuments(ctx, w.document.PersonID); err != nil {
		return nil, fmt.Errorf("load documents: %w", err)
	}
	v := f.Judge()
	if err := v.Err(); err != nil {
		return nil, err
	}
	if v.ValidUntil.Before(w.document.ValidUntil) {
		return nil, fmt.Errorf("check lifetime: %w", store.ErrChanged)
	}
	return f.Documents, holdParent(ctx, tx, f)
}

// supersede applies on_reissue and issue_over_existing to the person's other live documents. An update replaces its own document and no other.
func (is *Issuer) supersede(ctx context.Context, tx *store.Tx, w work, others []domain.Document) ([]domain.AuditEntry, error) {
	if w.request.Kind() == domain.RequestUpdate {
		return is.replace(ctx, tx, w)
	}
	o := w.facts.Profile.Options
	var entries []domain.AuditEntry
	var canceled []domain.Document
	for _, d := range others {
		to := d.State
		switch sameGroup := o.CredentialGroup != "" && d.CredentialGroup == o.CredentialGroup; {
		case o.IssueOverExisting && d.ProfileID == w.document.ProfileID:
			to = domain.DocumentCanceled
		case sameGroup && o.OnReissue == domain.ReissueCancel:
			to = domain.DocumentCanceled
		case sameGroup && o.OnReissue == domain.ReissueDisable:
			to = domain.DocumentDisabled
		}
		if to == d.State {
			continue
		}
		ended, err := is.moveDocument(ctx, tx, d, to, domain.DisabledByReissue)
		if err != nil {
			return nil, err
		}
		e := is.documentEntry(domain.System(), "document.reissue", d, to)
		e.Notes = "replaced by " + w.document.ID
		entries = append(append(entries, e), ended...)
		if to == domain.DocumentCanceled {
			canceled = append(canceled, d)
		}
	}
	for _, d := range canceled { // when all that is replaced is: what is derived from it may be among that
		derived, err := is.cancelDerived(ctx, tx, d, domain.ReasonWithdrawn)
		if err != nil {
			return nil, err
		}
		entries = append(entries, derived...)
	}
	return entries, nil
}

func sameKeys(a, b []domain.Copy) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].KeyThumbprint != b[i].KeyThumbprint {
			return false
		}
	}
	return true
}

// newSerial makes a serial number: 80 random bits in 16 letters and digits.
func newSerial() (string, error) {
	b := make([]byte, 10)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base32.StdEncoding.EncodeToString(b), nil
}
