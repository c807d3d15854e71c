package store

import (
	"context"

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
	Group            string               `db:"group_path"`
	Language         string               `db:"language"`
	Status           string               `db:"status"`
	MaxExpiry        string               `db:"max_expiry"`
	ExternalMobileID string               `db:"external_mobile_id"`
	Attributes       JSON[map[string]any] `db:"attributes"`
	HasPortrait      bool                 `db:"has_portrait"`
	HasSignature     bool                 `db:"has_signature"`
	Version          int                  `db:"version"`
	CreatedAt        Time                 `db:"created_at"`
	UpdatedAt        Time                 `db:"updated_at"`
}

const personColumns = `id, external_id, logon_name, given_name, family_name, email, mobile, birth_date, group_path, language, status, ` +
	`max_expiry, external_mobile_id, attributes, version, created_at, updated_at`

const selectPerson = `SELECT ` + personColumns + `,
  EXISTS (SELECT 1 FROM person_images i WHERE i.person_id = persons.id AND i.kind = 'portrait') AS has_portrait,
  EXISTS (SELECT 1 FROM person_images i WHERE i.person_id = persons.id AND i.kind = 'signature') AS has_signature
  FROM persons`

func (r personRow) person() domain.Person {
	return domain.Person{
		ID: r.ID, ExternalID: r.ExternalID, LogonName: r.LogonName, GivenName: r.GivenName, FamilyName: r.FamilyName, Email: r.Email,
		Mobile: r.Mobile, BirthDate: domain.Date(r.BirthDate), Group: r.Group, Language: r.Language, Status: domain.PersonStatus(r.Status),
		MaxExpiry: domain.Date(r.MaxExpiry), ExternalMobileID: r.ExternalMobileID, Attributes: r.Attributes.V, HasPortrait: r.HasPortrait,
		HasSignature: r.HasSignature, Version: r.Version, CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

func rowOfPerson(p domain.Person) personRow {
	if p.Attributes == nil {
		p.Attributes = map[string]any{}
	}
	return personRow{
		ID: p.ID, ExternalID: p.ExternalID, LogonName: p.LogonName, GivenName: p.GivenName, FamilyName: p.FamilyName, Email: p.Email,
		Mobile: p.Mobile, BirthDate: string(p.BirthDate), Group: p.Group, Language: p.Language, Status: string(p.Status),
		MaxExpiry: string(p.MaxExpiry), ExternalMobileID: p.ExternalMobileID, Attributes: JSON[map[string]any]{p.Attributes},
		Version: p.Version, CreatedAt: At(p.CreatedAt), UpdatedAt: At(p.UpdatedAt),
	}
}

// InsertPerson adds a person; a second one with the same external id is ErrExists.
func (q Queries) InsertPerson(ctx context.Context, p domain.Person) error {
	return q.insert(ctx, "persons", personColumns, rowOfPerson(p))
}

// UpdatePerson replaces the person's fields if the stored version is p.Version-1, else ErrChanged.
func (q Queries) UpdatePerson(ctx context.Context, p domain.Person) error {
	r := rowOfPerson(p)
	return q.change(ctx, `UPDATE persons SET external_id = $1, logon_name = $2, given_name = $3, family_name = $4, email = $5, mobile = $6,
		birth_date = $7, group_path = $8, language = $9, status = $10, max_expiry = $11, external_mobile_id = $12, attributes = $13,
		version = $14, updated_at = $15 WHERE id = $16 AND version = $17`,
		r.ExternalID, r.LogonName, r.GivenName, r.FamilyName, r.Email, r.Mobile, r.BirthDate, r.Group, r.Language, r.Status, r.MaxExpiry,
		r.ExternalMobileID, r.Attributes, r.Version, r.UpdatedAt, r.ID, r.Version-1)
}

// Person reads one person.
func (q Queries) Person(ctx context.Context, id string) (domain.Person, error) {
	var r personRow
	err := q.get(ctx, &r, selectPerson+` WHERE id = $1`, id)
	return r.person(), err
}

// PersonByExternalID reads one person by the id another system knows them by.
func (q Queries) PersonByExternalID(ctx context.Context, externalID string) (domain.Person, error) {
	var r personRow
	err := q.get(ctx, &r, selectPerson+` WHERE external_id = $1 AND external_id <> ''`, externalID)
	return r.person(), err
}

// HoldPerson locks a person to the end of the transaction: what depends on all documents of a person is decided by one transaction at a
// time. ErrChanged when there is no such person.
func (t *Tx) HoldPerson(ctx context.Context, id string) error {
	return t.change(ctx, `UPDATE persons SET updated_at = updated_at WHERE id = $1`, id)
}

// PersonFilter narrows a list of people; empty fields do not.
type PersonFilter struct {
	OnlyID     string // the one person a caller with scope self may see
	ExternalID string
	FamilyName string
	Email      string
	Status     domain.PersonStatus
}

// People lists people, newest first.
func (q Queries) People(ctx context.Context, want PersonFilter, page Page) ([]domain.Person, error) {
	var f filter
	f.equal("id", want.OnlyID)
	f.equal("external_id", want.ExternalID)
	f.equal("family_name", want.FamilyName)
	f.equal("email", want.Email)
	f.equal("status", string(want.Status))
	tail := page.newestFirst(&f)
	var rows []personRow
	if err := q.list(ctx, &rows, selectPerson+tail, f.args...); err != nil {
		return nil, err
	}
	out := make([]domain.Person, len(rows))
	for i, r := range rows {
		out[i] = r.person()
	}
	return out, nil
}

// PutImage stores or replaces a person's image of that kind.
func (q Queries) PutImage(ctx context.Context, im domain.Image) error {
	_, err := q.exec(ctx, `INSERT INTO person_images (person_id, kind, media_type, bytes, captured_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (person_id, kind) DO UPDATE SET media_type = excluded.media_type, bytes = excluded.bytes,
		captured_at = excluded.captured_at`, im.PersonID, string(im.Kind), im.MediaType, im.Bytes, At(im.CapturedAt))
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
