package store

import (
	"context"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
)

type profileRow struct {
	ID        string                      `db:"id"`
	Name      string                      `db:"name"`
	Version   int                         `db:"version"`
	Options   JSON[domain.ProfileOptions] `db:"options"`
	Comment   string                      `db:"comment"`
	CreatedBy string                      `db:"created_by"`
	CreatedAt Time                        `db:"created_at"`
}

func (r profileRow) profile() domain.Profile {
	r.Options.V.Defaults() // of options that are newer than the version
	return domain.Profile{ID: r.ID, Name: r.Name, Version: r.Version, Options: r.Options.V, Comment: r.Comment, CreatedBy: r.CreatedBy,
		CreatedAt: r.CreatedAt.Time}
}

const selectProfile = `SELECT p.id, p.name, v.version, v.options, v.comment, v.created_by, v.created_at
	FROM profiles p JOIN profile_versions v ON v.profile_id = p.id`

// InsertProfile adds a profile with its first version; a second one of that name is ErrExists.
func (q Queries) InsertProfile(ctx context.Context, p domain.Profile) error {
	if _, err := q.exec(ctx, `INSERT INTO profiles (id, name, version) VALUES ($1, $2, $3)`, p.ID, p.Name, p.Version); err != nil {
		return err
	}
	return q.insertProfileVersion(ctx, p)
}

// AddProfileVersion makes p, whose version is the next one, the current version; ErrChanged if it is not the next.
func (q Queries) AddProfileVersion(ctx context.Context, p domain.Profile) error {
	err := q.change(ctx, `UPDATE profiles SET version = $1 WHERE id = $2 AND version = $3`, p.Version, p.ID, p.Version-1)
	if err != nil {
		return err
	}
	return q.insertProfileVersion(ctx, p)
}

func (q Queries) insertProfileVersion(ctx context.Context, p domain.Profile) error {
	_, err := q.exec(ctx, `INSERT INTO profile_versions (profile_id, version, options, comment, created_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, p.ID, p.Version, JSON[domain.ProfileOptions]{p.Options}, p.Comment, p.CreatedBy, At(p.CreatedAt))
	return err
}

// Profile reads the current version.
func (q Queries) Profile(ctx context.Context, id string) (domain.Profile, error) {
	var r profileRow
	err := q.get(ctx, &r, selectProfile+` AND v.version = p.version WHERE p.id = $1`, id)
	return r.profile(), err
}

// ProfileByName reads the current version.
func (q Queries) ProfileByName(ctx context.Context, name string) (domain.Profile, error) {
	var r profileRow
	err := q.get(ctx, &r, selectProfile+` AND v.version = p.version WHERE p.name = $1`, name)
	return r.profile(), err
}

// Profiles lists the current versions by name.
func (q Queries) Profiles(ctx context.Context) ([]domain.Profile, error) {
	return q.profileList(ctx, selectProfile+` AND v.version = p.version ORDER BY p.name`)
}

// ProfilesStamp gives a text that changes whenever a profile is added or gets a new version: neither count nor versions ever go down.
func (q Queries) ProfilesStamp(ctx context.Context) (string, error) {
	var stamp struct {
		Profiles int64 `db:"profiles"`
		Versions int64 `db:"versions"`
	}
	err := q.get(ctx, &stamp, `SELECT count(*) AS profiles, CAST(COALESCE(sum(version), 0) AS BIGINT) AS versions FROM profiles`)
	return fmt.Sprintf("%d-%d", stamp.Profiles, stamp.Versions), err
}

// ProfileVersions lists every version of one profile, newest first.
func (q Queries) ProfileVersions(ctx context.Context, id string) ([]domain.Profile, error) {
	return q.profileList(ctx, selectProfile+` WHERE p.id = $1 ORDER BY v.version DESC`, id)
}

func (q Queries) profileList(ctx context.Context, query string, args ...any) ([]domain.Profile, error) {
	return listAs(ctx, q, profileRow.profile, query, args...)
}
