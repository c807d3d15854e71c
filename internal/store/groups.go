package store

import (
	"context"

	"github.com/mdocket/mdocket/internal/domain"
)

type groupRow struct {
	ID        string     `db:"id"`
	ParentID  OptionalID `db:"parent_id"`
	Name      string     `db:"name"`
	Path      string     `db:"path"`
	Version   int        `db:"version"`
	CreatedAt Time       `db:"created_at"`
	UpdatedAt Time       `db:"updated_at"`
}

const groupColumns = `id, parent_id, name, path, version, created_at, updated_at`

func (r groupRow) group() domain.Group {
	return domain.Group{ID: r.ID, ParentID: string(r.ParentID), Name: r.Name, Path: r.Path, Version: r.Version, CreatedAt: r.CreatedAt.Time,
		UpdatedAt: r.UpdatedAt.Time}
}

// InsertGroup adds a group; a second one of that path is ErrExists.
func (q Queries) InsertGroup(ctx context.Context, g domain.Group) error {
	return q.insert(ctx, "groups", groupColumns, groupRow{ID: g.ID, ParentID: OptionalID(g.ParentID), Name: g.Name, Path: g.Path,
		Version: g.Version, CreatedAt: At(g.CreatedAt), UpdatedAt: At(g.UpdatedAt)})
}

// UpdateGroup writes parent, name and path if the stored version is g.Version-1, else ErrChanged; a second one of that path is ErrExists.
func (q Queries) UpdateGroup(ctx context.Context, g domain.Group) error {
	return q.change(ctx, `UPDATE groups SET parent_id = $1, name = $2, path = $3, version = $4, updated_at = $5 WHERE id = $6 AND version = $7`,
		OptionalID(g.ParentID), g.Name, g.Path, g.Version, At(g.UpdatedAt), g.ID, g.Version-1)
}

// SetGroupPath follows a change of a group above.
func (q Queries) SetGroupPath(ctx context.Context, id, path string) error {
	return q.change(ctx, `UPDATE groups SET path = $1 WHERE id = $2`, path, id)
}

// DeleteGroup removes a group that nobody and no group belongs to; else ErrChanged.
func (q Queries) DeleteGroup(ctx context.Context, id string) error {
	return q.change(ctx, `DELETE FROM groups WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM persons WHERE group_id = $1)
		AND NOT EXISTS (SELECT 1 FROM groups c WHERE c.parent_id = $1)`, id)
}

// Group reads one group.
func (q Queries) Group(ctx context.Context, id string) (domain.Group, error) {
	var r groupRow
	err := q.get(ctx, &r, `SELECT `+groupColumns+` FROM groups WHERE id = $1`, id)
	return r.group(), err
}

// GroupByPath reads the group of a path.
func (q Queries) GroupByPath(ctx context.Context, path string) (domain.Group, error) {
	var r groupRow
	err := q.get(ctx, &r, `SELECT `+groupColumns+` FROM groups WHERE path = $1`, path)
	return r.group(), err
}

// Groups lists every group of the tree by path.
func (q Queries) Groups(ctx context.Context) ([]domain.Group, error) {
	return q.groups(ctx, ` ORDER BY path`)
}

// GroupsBelow lists a group and every group below it, from the top down.
func (q Queries) GroupsBelow(ctx context.Context, id string) ([]domain.Group, error) {
	return q.groups(ctx, ` WHERE id IN (WITH RECURSIVE below (id) AS (SELECT id FROM groups WHERE id = $1 UNION ALL
		SELECT g.id FROM groups g JOIN below ON g.parent_id = below.id) SELECT id FROM below) ORDER BY path`, id)
}

func (q Queries) groups(ctx context.Context, tail string, args ...any) ([]domain.Group, error) {
	var rows []groupRow
	if err := q.list(ctx, &rows, `SELECT `+groupColumns+` FROM groups`+tail, args...); err != nil {
		return nil, err
	}
	out := make([]domain.Group, len(rows))
	for i, r := range rows {
		out[i] = r.group()
	}
	return out, nil
}
