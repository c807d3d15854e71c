package store

import (
	"context"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

type documentRow struct {
	ID              string `db:"id"`
	Serial          string `db:"serial"`
	RequestID       string `db:"request_id"`
	ActID           string `db:"act_id"`
	PersonID        string `db:"person_id"`
	ProfileID       string `db:"profile_id"`
	ProfileVersion  int    `db:"profile_version"`
	FormatID        string `db:"format_id"`
	FormatVersion   int    `db:"format_version"`
	DocType         string `db:"doc_type"`
	Platform        string `db:"platform"`
	State           string `db:"state"`
	CredentialGroup string `db:"credential_group"`
	ExclusiveGroup  string `db:"exclusive_group"`
	DisabledBy      string `db:"disabled_by"`
	SignerID        string `db:"signer_id"`
	SignedAt        Time   `db:"signed_at"`
	ValidFrom       Time   `db:"valid_from"`
	ValidUntil      Time   `db:"valid_until"`
	Copies          int    `db:"copies"`
	CreatedAt       Time   `db:"created_at"`
	UpdatedAt       Time   `db:"updated_at"`
}

const documentColumns = `id, serial, request_id, act_id, person_id, profile_id, profile_version, format_id, format_version, doc_type, ` +
	`platform, state, credential_group, exclusive_group, disabled_by, signer_id, signed_at, valid_from, valid_until, copies, created_at, updated_at`

func (r documentRow) document() domain.Document {
	return domain.Document{
		ID: r.ID, Serial: r.Serial, RequestID: r.RequestID, ActID: r.ActID, PersonID: r.PersonID, ProfileID: r.ProfileID,
		ProfileVersion: r.ProfileVersion, FormatID: r.FormatID, FormatVersion: r.FormatVersion, DocType: r.DocType,
		Platform: domain.Platform(r.Platform), State: domain.DocumentState(r.State), CredentialGroup: r.CredentialGroup,
		ExclusiveGroup: r.ExclusiveGroup, DisabledBy: domain.DisabledBy(r.DisabledBy), SignerID: r.SignerID, SignedAt: r.SignedAt.Time, ValidFrom: r.ValidFrom.Time, ValidUntil: r.ValidUntil.Time, Copies: r.Copies,
		CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

func rowOfDocument(d domain.Document) documentRow {
	return documentRow{
		ID: d.ID, Serial: d.Serial, RequestID: d.RequestID, ActID: d.ActID, PersonID: d.PersonID, ProfileID: d.ProfileID,
		ProfileVersion: d.ProfileVersion, FormatID: d.FormatID, FormatVersion: d.FormatVersion, DocType: d.DocType,
		Platform: string(d.Platform), State: string(d.State), CredentialGroup: d.CredentialGroup,
		ExclusiveGroup: d.ExclusiveGroup, DisabledBy: string(d.DisabledBy), SignerID: d.SignerID,
		SignedAt: At(d.SignedAt), ValidFrom: At(d.ValidFrom), ValidUntil: At(d.ValidUntil), Copies: d.Copies,
		CreatedAt: At(d.CreatedAt), UpdatedAt: At(d.UpdatedAt),
	}
}

// InsertDocument records the intent to sign a document; a second one for the same request is ErrExists.
func (q Queries) InsertDocument(ctx context.Context, d domain.Document) error {
	return q.insert(ctx, "documents", documentColumns, rowOfDocument(d))
}

// ReassignIntent gives a document that is still prepared to another act, with that act's terms; ErrChanged when it is not prepared.
func (q Queries) ReassignIntent(ctx context.Context, d domain.Document) error {
	r := rowOfDocument(d)
	return q.change(ctx, `UPDATE documents SET act_id = $1, profile_id = $2, profile_version = $3, format_id = $4, format_version = $5,
		doc_type = $6, platform = $7, credential_group = $8, signer_id = $9, signed_at = $10, valid_from = $11, valid_until = $12,
		copies = $13, updated_at = $14, exclusive_group = $15 WHERE id = $16 AND state = 'prepared'`, r.ActID, r.ProfileID, r.ProfileVersion,
		r.FormatID, r.FormatVersion, r.DocType, r.Platform, r.CredentialGroup, r.SignerID, r.SignedAt, r.ValidFrom, r.ValidUntil, r.Copies,
		r.UpdatedAt, r.ExclusiveGroup, r.ID)
}

// ReplaceIntent is ReassignIntent for other keys: the copies of the earlier attempt are forgotten.
func (q Queries) ReplaceIntent(ctx context.Context, d domain.Document) error {
	if err := q.ReassignIntent(ctx, d); err != nil {
		return err
	}
	_, err := q.exec(ctx, `DELETE FROM document_copies WHERE document_id = $1`, d.ID)
	return err
}

// Activate turns the prepared document of exactly this act into an active one with the terms it was signed with, and plans what is to come; ErrChanged
// when another act took it over or it is done.
func (q Queries) Activate(ctx context.Context, d domain.Document, p domain.Plan, at time.Time) error {
	r := rowOfDocument(d)
	return q.change(ctx, `UPDATE documents SET state = 'active', profile_version = $1, format_id = $2, format_version = $3, doc_type = $4,
		credential_group = $5, signer_id = $6, signed_at = $7, valid_from = $8, valid_until = $9, updated_at = $10, exclusive_group = $11,
		next_at = $12, renews = $13, data_digest = $14 WHERE id = $15 AND act_id = $16 AND state = 'prepared'`, r.ProfileVersion, r.FormatID, r.FormatVersion, r.DocType,
		r.CredentialGroup, r.SignerID, r.SignedAt, r.ValidFrom, r.ValidUntil, At(at), r.ExclusiveGroup, At(p.NextAt), p.Renews,
		p.Digest, r.ID, r.ActID)
}

// MoveDocument changes the state where it still is from; else ErrChanged. by is what disabled it, where to is disabled. A document that stays live is to be
// looked at again; of one that ended nothing of its person's data is kept.
func (q Queries) MoveDocument(ctx context.Context, id string, from, to domain.DocumentState, by domain.DisabledBy, at time.Time) error {
	plan := `next_at = NULL, data_digest = ''`
	if to.Live() {
		plan = `next_at = $3`
	}
	return q.change(ctx, `UPDATE documents SET state = $1, disabled_by = $2, updated_at = $3, `+plan+` WHERE id = $4 AND state = $5`, string(to),
		string(by), At(at), id, string(from))
}

// HoldDocument locks a document to the end of the transaction if it is in the state; else ErrChanged.
func (t *Tx) HoldDocument(ctx context.Context, id string, state domain.DocumentState) error {
	return t.change(ctx, `UPDATE documents SET updated_at = updated_at WHERE id = $1 AND state = $2`, id, string(state))
}

// HoldDocuments locks documents, each named once, to the end of the transaction and reads them as they are now; ErrChanged unless all of them are in
// the state.
func (t *Tx) HoldDocuments(ctx context.Context, state domain.DocumentState, ids ...string) (map[string]domain.Document, error) {
	out := make(map[string]domain.Document, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var f filter
	f.oneOf("id", ids)
	all, err := listAs(ctx, t.Queries, documentRow.document,
		`UPDATE documents SET updated_at = updated_at`+f.where()+` RETURNING `+documentColumns, f.args...)
	for _, d := range all {
		if d.State == state {
			out[d.ID] = d
		}
	}
	if err == nil && len(out) != len(ids) {
		err = ErrChanged
	}
	return out, err
}

// Document reads one document.
func (q Queries) Document(ctx context.Context, id string) (domain.Document, error) {
	return q.document(ctx, `id = $1`, id)
}

// DocumentBySerial reads one document by its serial number.
func (q Queries) DocumentBySerial(ctx context.Context, serial string) (domain.Document, error) {
	return q.document(ctx, `serial = $1`, serial)
}

// DocumentOfRequest reads the document of a request, prepared or issued.
func (q Queries) DocumentOfRequest(ctx context.Context, requestID string) (domain.Document, error) {
	return q.document(ctx, `request_id = $1`, requestID)
}

func (q Queries) document(ctx context.Context, cond string, arg string) (domain.Document, error) {
	var r documentRow
	err := q.get(ctx, &r, `SELECT `+documentColumns+` FROM documents WHERE `+cond, arg)
	return r.document(), err
}

// DocumentFilter narrows a list of documents; empty fields do not.
type DocumentFilter struct {
	Within    domain.Within
	PersonID  string
	ProfileID string
	State     domain.DocumentState
	Serial    string
	// GroupID is a group that the holder belongs to; with GroupsBelow, or to a group below it.
	GroupID     string
	GroupsBelow bool
	// At is the instant State is meant for: a document past its end counts as expired, whatever is stored. Zero: the stored states.
	At time.Time
}

// addState is DocumentState's StateAt in SQL.
func (want DocumentFilter) addState(f *filter) {
	switch {
	case want.State.Live() && !want.At.IsZero():
		f.add("state = ? AND valid_until > ?", string(want.State), At(want.At))
	case want.State == domain.DocumentExpired && !want.At.IsZero():
		f.add("(state = 'expired' OR (state IN ('active', 'disabled') AND valid_until <= ?))", At(want.At))
	default:
		f.equal("state", string(want.State))
	}
}

// conditions gives the filter in SQL. Documents that are only prepared are in no list.
func (want DocumentFilter) conditions() filter {
	var f filter
	f.add("state <> 'prepared'")
	f.within("person_id", want.Within)
	f.equal("person_id", want.PersonID)
	f.equal("profile_id", want.ProfileID)
	want.addState(&f)
	f.equal("serial", want.Serial)
	if want.GroupID != "" {
		f.add("person_id IN (SELECT id FROM persons WHERE group_id IN ("+groupSet(want.GroupsBelow)+"))", want.GroupID)
	}
	return f
}

// Documents lists documents, newest first, without those that are only prepared.
func (q Queries) Documents(ctx context.Context, want DocumentFilter, page Page) ([]domain.Document, error) {
	f := want.conditions()
	tail := page.newestFirst(&f)
	return q.documents(ctx, tail, f.args...)
}

// LiveDocuments lists the active and disabled documents of people.
func (q Queries) LiveDocuments(ctx context.Context, personIDs ...string) ([]domain.Document, error) {
	if len(personIDs) == 0 {
		return nil, nil
	}
	var f filter
	f.oneOf("person_id", personIDs)
	f.add(heldDocument)
	return q.documents(ctx, f.where()+" ORDER BY id", f.args...)
}

func (q Queries) documents(ctx context.Context, tail string, args ...any) ([]domain.Document, error) {
	return listAs(ctx, q, documentRow.document, `SELECT `+documentColumns+` FROM documents`+tail, args...)
}

type copyRow struct {
	DocumentID    string `db:"document_id"`
	N             int    `db:"n"`
	KeyThumbprint string `db:"key_thumbprint"`
	PublicKey     []byte `db:"public_key"`
	Seed          []byte `db:"seed"`
	ListID        string `db:"list_id"`
	StatusIndex   uint64 `db:"status_index"`
	IssuerSigned  []byte `db:"issuer_signed"`
}

const copyColumns = `document_id, n, key_thumbprint, public_key, seed, list_id, status_index, issuer_signed`

// InsertCopy records one key, its status index and its seed; a key that any document has is ErrExists.
func (q Queries) InsertCopy(ctx context.Context, c domain.Copy) error {
	return q.insert(ctx, "document_copies", copyColumns, copyRow(c))
}

// Copies reads the copies of a document in the order of the wallet's proofs.
func (q Queries) Copies(ctx context.Context, documentID string) ([]domain.Copy, error) {
	return listAs(ctx, q, func(r copyRow) domain.Copy { return domain.Copy(r) },
		`SELECT `+copyColumns+` FROM document_copies WHERE document_id = $1 ORDER BY n`, documentID)
}

// StoreSigned keeps the signed bytes of a copy for the wallet and erases the seed they were made with.
func (q Queries) StoreSigned(ctx context.Context, documentID string, n int, issuerSigned []byte) error {
	return q.change(ctx, `UPDATE document_copies SET issuer_signed = $1, seed = NULL WHERE document_id = $2 AND n = $3 AND issuer_signed IS NULL`,
		issuerSigned, documentID, n)
}

// DropSigned erases the signed bytes of documents issued before the instant and gives the number of copies.
func (q Queries) DropSigned(ctx context.Context, before time.Time) (int64, error) {
	return q.exec(ctx, `UPDATE document_copies SET issuer_signed = NULL WHERE issuer_signed IS NOT NULL AND document_id IN
		(SELECT id FROM documents WHERE state <> 'prepared' AND signed_at < $1)`, At(before))
}
