package store

import (
	"context"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/mdocket/mdocket/internal/domain"
)

type personRow struct {
	ID               string               `db:"id"`
	ExternalID       string               `db:"external_id"`
	LogonName        string               `db:"logon_name"`
	GivenName        string               `db:"given_name"`
	FamilyName       string               `db:"family_name"`
	Email            string               `db:"email"`
	Mobile           string               `db:"mobile"`
	BirthDate        string               `db:"birth_date"`
	GroupID          OptionalID           `db:"group_id"`
	Group            OptionalID           `db:"group_path"`
	Language         string               `db:"language"`
	Status           string               `db:"status"`
	MaxExpiry        string               `db:"max_expiry"`
	ExternalMobileID string               `db:"external_mobile_id"`
	Attributes       JSON[map[string]any] `db:"attributes"`
	HasPortrait      bool                 `db:"has_portrait"`
	HasSignature     bool                 `db:"has_signature"`
	GivenKey         string               `db:"given_key"`
	FamilyKey        string               `db:"family_key"`
	EmailKey         string               `db:"email_key"`
	LogonKey         string               `db:"logon_key"`
	ApprovedBy       string               `db:"data_approved_by"`
	ApprovedAt       Time                 `db:"data_approved_at"`
	VettedOn         string               `db:"data_vetted_on"`
	ErasedAt         Time                 `db:"erased_at"`
	Version          int                  `db:"version"`
	CreatedAt        Time                 `db:"created_at"`
	UpdatedAt        Time                 `db:"updated_at"`
}

const personColumns = `id, external_id, logon_name, given_name, family_name, email, mobile, birth_date, group_id, language, status, ` +
	`max_expiry, external_mobile_id, attributes, given_key, family_key, email_key, logon_key, data_approved_by, data_approved_at, ` +
	`data_vetted_on, erased_at, version, created_at, updated_at`

const selectPerson = `SELECT ` + personColumns + `, (SELECT path FROM groups g WHERE g.id = persons.group_id) AS group_path,
  EXISTS (SELECT 1 FROM person_images i WHERE i.person_id = persons.id AND i.kind = 'portrait') AS has_portrait,
  EXISTS (SELECT 1 FROM person_images i WHERE i.person_id = persons.id AND i.kind = 'signature') AS has_signature
  FROM persons`

func (r personRow) person() domain.Person {
	return domain.Person{
		ID: r.ID, ExternalID: r.ExternalID, LogonName: r.LogonName, GivenName: r.GivenName, FamilyName: r.FamilyName, Email: r.Email,
		Mobile: r.Mobile, BirthDate: domain.Date(r.BirthDate), GroupID: string(r.GroupID), Group: string(r.Group), Language: r.Language,
		Status: domain.PersonStatus(r.Status), MaxExpiry: domain.Date(r.MaxExpiry), ExternalMobileID: r.ExternalMobileID,
		Attributes: r.Attributes.V, HasPortrait: r.HasPortrait, HasSignature: r.HasSignature,
		DataApproval: domain.DataApproval{By: r.ApprovedBy, At: r.ApprovedAt.Time, VettedOn: domain.Date(r.VettedOn)},
		ErasedAt:     r.ErasedAt.Time, Version: r.Version, CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

func rowOfPerson(p domain.Person) personRow {
	if p.Attributes == nil {
		p.Attributes = map[string]any{}
	}
	return personRow{
		ID: p.ID, ExternalID: p.ExternalID, LogonName: p.LogonName, GivenName: p.GivenName, FamilyName: p.FamilyName, Email: p.Email,
		Mobile: p.Mobile, BirthDate: string(p.BirthDate), GroupID: OptionalID(p.GroupID), Language: p.Language, Status: string(p.Status),
		MaxExpiry: string(p.MaxExpiry), ExternalMobileID: p.ExternalMobileID, Attributes: JSON[map[string]any]{p.Attributes},
		GivenKey: Fold(p.GivenName), FamilyKey: Fold(p.FamilyName), EmailKey: Fold(p.Email), LogonKey: Fold(p.LogonName),
		ApprovedBy: p.DataApproval.By, ApprovedAt: At(p.DataApproval.At), VettedOn: string(p.DataApproval.VettedOn), ErasedAt: At(p.ErasedAt),
		Version: p.Version, CreatedAt: At(p.CreatedAt), UpdatedAt: At(p.UpdatedAt),
	}
}

// Fold gives the form of a name, e-mail address or logon name that searches compare: composed (NFC) and without case.
func Fold(s string) string { return cases.Fold().String(norm.NFC.String(s)) }

// InsertPerson adds a person; a second one with the same external id or logon name is ErrExists, a group that is not there ErrNoGroup.
func (q Queries) InsertPerson(ctx context.Context, p domain.Person) error {
	return groupMissing(q.insert(ctx, "persons", personColumns, rowOfPerson(p)))
}

// InsertPeople adds many people at once; one that is refused as InsertPerson says refuses all.
func (q Queries) InsertPeople(ctx context.Context, people []domain.Person) error {
	rows := make([]personRow, len(people))
	for i, p := range people {
		rows[i] = rowOfPerson(p)
	}
	return groupMissing(insertAll(ctx, q, "persons", personColumns, rows))
}

// UpdatePerson replaces the person's fields if the stored version is p.Version-1, else ErrChanged; otherwise it refuses as InsertPerson
// does.
func (q Queries) UpdatePerson(ctx context.Context, p domain.Person) error {
	r := rowOfPerson(p)
	return groupMissing(q.change(ctx, `UPDATE persons SET external_id = $1, logon_name = $2, given_name = $3, family_name = $4, email = $5, mobile = $6,
		birth_date = $7, group_id = $8, language = $9, status = $10, max_expiry = $11, external_mobile_id = $12, attributes = $13,
		given_key = $14, family_key = $15, email_key = $16, logon_key = $17, data_approved_by = $18, data_approved_at = $19,
		data_vetted_on = $20, erased_at = $21, version = $22, updated_at = $23 WHERE id = $24 AND version = $25`,
		r.ExternalID, r.LogonName, r.GivenName, r.FamilyName, r.Email, r.Mobile, r.BirthDate, r.GroupID, r.Language, r.Status, r.MaxExpiry,
		r.ExternalMobileID, r.Attributes, r.GivenKey, r.FamilyKey, r.EmailKey, r.LogonKey, r.ApprovedBy, r.ApprovedAt, r.VettedOn, r.ErasedAt,
		r.Version, r.UpdatedAt, r.ID, r.Version-1))
}

// Person reads one person.
func (q Queries) Person(ctx context.Context, id string) (domain.Person, error) {
	var r personRow
	err := q.get(ctx, &r, selectPerson+` WHERE id = $1`, id)
	return r.person(), err
}

// PeopleByID reads those of the people that there are.
func (q Queries) PeopleByID(ctx context.Context, ids ...string) (map[string]domain.Person, error) {
	out := make(map[string]domain.Person, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var f filter
	f.oneOf("id", ids)
	var rows []personRow
	err := q.list(ctx, &rows, selectPerson+f.where(), f.args...)
	for _, r := range rows {
		out[r.ID] = r.person()
	}
	return out, err
}

// PersonByExternalID reads one person by the id another system knows them by.
func (q Queries) PersonByExternalID(ctx context.Context, externalID string) (domain.Person, error) {
	var r personRow
	err := q.get(ctx, &r, selectPerson+` WHERE external_id = $1 AND external_id <> ''`, externalID)
	return r.person(), err
}

// PeopleByExternalID reads the people whom another system knows by those ids, by that id.
func (q Queries) PeopleByExternalID(ctx context.Context, externalIDs ...string) (map[string]domain.Person, error) {
	out := map[string]domain.Person{}
	if len(externalIDs) == 0 {
		return out, nil
	}
	var f filter
	f.add("external_id <> ''")
	f.oneOf("external_id", externalIDs)
	var rows []personRow
	err := q.list(ctx, &rows, selectPerson+f.where(), f.args...)
	for _, r := range rows {
		out[r.ExternalID] = r.person()
	}
	return out, err
}

// PersonByLogonName reads one person by logon name, without case.
func (q Queries) PersonByLogonName(ctx context.Context, logonName string) (domain.Person, error) {
	var r personRow
	err := q.get(ctx, &r, selectPerson+` WHERE logon_key = $1 AND logon_key <> ''`, Fold(logonName))
	return r.person(), err
}

// PersonsWithin gives which of the people the set holds.
func (q Queries) PersonsWithin(ctx context.Context, w domain.Within, ids ...string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(ids) == 0 || w.Nobody() {
		return out, nil
	}
	var f filter
	f.oneOf("id", ids)
	f.within("id", w)
	var found []string
	if err := q.list(ctx, &found, `SELECT id FROM persons`+f.where(), f.args...); err != nil {
		return nil, err
	}
	for _, id := range found {
		out[id] = true
	}
	return out, nil
}

// HoldPerson locks a person to the end of the transaction: what depends on all documents of a person is decided by one transaction at a
// time. ErrChanged when there is no such person.
func (t *Tx) HoldPerson(ctx context.Context, id string) error {
	return t.HoldPeople(ctx, id)
}

// HoldPeople is HoldPerson for several people, each named once.
func (t *Tx) HoldPeople(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	var f filter
	f.oneOf("id", ids)
	n, err := t.exec(ctx, `UPDATE persons SET updated_at = updated_at`+f.where(), f.args...)
	if err == nil && n != int64(len(ids)) {
		err = ErrChanged
	}
	return err
}

// PersonFilter narrows a list of people; empty fields do not. Names, e-mail address and logon name are compared without case; they,
// external id, mobile number and mobile id may end in * for "starts with". Erased people are left out.
type PersonFilter struct {
	Within           domain.Within
	ID               string
	ExternalID       string
	LogonName        string
	GivenName        string
	FamilyName       string
	Email            string
	Mobile           string
	BirthDate        domain.Date
	GroupID          string
	GroupsBelow      bool // GroupID and every group below it
	Status           domain.PersonStatus
	MaxExpiryUntil   domain.Date // has a maximum expiry, on or before this day
	ExternalMobileID string
	DataApproved     *bool
}

// conditions gives the filter in SQL.
func (want PersonFilter) conditions() filter {
	var f filter
	f.add("erased_at IS NULL")
	f.within("id", want.Within)
	f.equal("id", want.ID)
	f.someText("external_id", want.ExternalID)
	f.someText("logon_key", Fold(want.LogonName))
	f.text("given_key", Fold(want.GivenName))
	f.text("family_key", Fold(want.FamilyName))
	f.text("email_key", Fold(want.Email))
	f.someText("mobile", want.Mobile)
	f.equal("birth_date", string(want.BirthDate))
	if want.GroupID != "" {
		f.inGroup("group_id", want.GroupID, want.GroupsBelow)
	}
	f.equal("status", string(want.Status))
	if want.MaxExpiryUntil != "" {
		f.add("max_expiry <> '' AND max_expiry <= ?", string(want.MaxExpiryUntil))
	}
	f.someText("external_mobile_id", want.ExternalMobileID)
	if want.DataApproved != nil {
		if *want.DataApproved {
			f.add("data_approved_by <> ''")
		} else {
			f.add("data_approved_by = ''")
		}
	}
	return f
}

// People lists people, newest first.
func (q Queries) People(ctx context.Context, want PersonFilter, page Page) ([]domain.Person, error) {
	f := want.conditions()
	ids := `SELECT id FROM persons` + page.newestFirst(&f) // found and sorted by themselves: whole people only for the page
	return listAs(ctx, q, personRow.person, selectPerson+` WHERE id IN (`+ids+`) ORDER BY id DESC`, f.args...)
}

// someText is text for a column whose index leaves the empty text out: it must be seen that the query does so too.
func (f *filter) someText(column, value string) {
	if value != "" {
		f.add(column + " <> ''")
		f.text(column, value)
	}
}

// PutImage stores or replaces a person's image of that kind.
func (q Queries) PutImage(ctx context.Context, im domain.Image) error {
	_, err := q.exec(ctx, `INSERT INTO person_images (person_id, kind, media_type, bytes, captured_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (person_id, kind) DO UPDATE SET media_type = excluded.media_type, bytes = excluded.bytes,
		captured_at = excluded.captured_at`, im.PersonID, string(im.Kind), im.MediaType, im.Bytes, At(im.CapturedAt))
	return err
}

// DeleteImages removes every image of a person.
func (q Queries) DeleteImages(ctx context.Context, personID string) error {
	_, err := q.exec(ctx, `DELETE FROM person_images WHERE person_id = $1`, personID)
	return err
}

// Images reads the person's images by kind.
func (q Queries) Images(ctx context.Context, personID string) (map[domain.ImageKind]domain.Image, error) {
	var rows []struct {
		Kind       string `db:"kind"`
		MediaType  string `db:"media_type"`
		Bytes      []byte `db:"bytes"`
		CapturedAt Time   `db:"captured_at"`
	}
	err := q.list(ctx, &rows, `SELECT kind, media_type, bytes, captured_at FROM person_images WHERE person_id = $1`, personID)
	if err != nil {
		return nil, err
	}
	out := make(map[domain.ImageKind]domain.Image, len(rows))
	for _, r := range rows {
		kind := domain.ImageKind(r.Kind)
		out[kind] = domain.Image{PersonID: personID, Kind: kind, MediaType: r.MediaType, Bytes: r.Bytes, CapturedAt: r.CapturedAt.Time}
	}
	return out, nil
}

// DropSignedOf erases the signed bytes that are kept of a person's documents for wallets that lost the answer.
func (q Queries) DropSignedOf(ctx context.Context, personID string) error {
	_, err := q.exec(ctx, `UPDATE document_copies SET issuer_signed = NULL WHERE issuer_signed IS NOT NULL AND document_id IN
		(SELECT id FROM documents WHERE person_id = $1)`, personID)
	return err
}
