package store

import (
	"context"
	"errors"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/mdocket/mdocket/internal/domain"
)

// ErrNoGroup means that a row names a group that is not there.
var ErrNoGroup = errors.New("store: no such group")

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

// InsertGroup adds a group; a second one of that path is ErrExists, a parent that is not there ErrNoGroup.
func (q Queries) InsertGroup(ctx context.Context, g domain.Group) error {
	return groupMissing(q.insert(ctx, "groups", groupColumns, groupRow{ID: g.ID, ParentID: OptionalID(g.ParentID), Name: g.Name, Path: g.Path,
		Version: g.Version, CreatedAt: At(g.CreatedAt), UpdatedAt: At(g.UpdatedAt)}))
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

// DeleteGroup removes a group that nobody and no group belongs to; else ErrChanged. People who are erased do not count: they leave it.
func (q Queries) DeleteGroup(ctx context.Context, id string) error {
	_, err := q.exec(ctx, `UPDATE persons SET group_id = NULL WHERE group_id = $1 AND erased_at IS NOT NULL`, id)
	if err != nil {
		return err
	}
	err = q.change(ctx, `DELETE FROM groups WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM persons WHERE group_id = $1)
		AND NOT EXISTS (SELECT 1 FROM groups c WHERE c.parent_id = $1)`, id)
	if foreignKey(err) { // somebody came into it at the same time
		return ErrChanged
	}
	return err
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

// GroupsByPath reads the groups of those of the paths that have one, by path.
func (q Queries) GroupsByPath(ctx context.Context, paths ...string) (map[string]domain.Group, error) {
	out := map[string]domain.Group{}
	if len(paths) == 0 {
		return out, nil
	}
	var f filter
	f.oneOf("path", paths)
	found, err := q.groups(ctx, f.where(), f.args...)
	for _, g := range found {
		out[g.Path] = g
	}
	return out, err
}

// GroupSizes counts the people of each group itself, by the group's id; groups without people are left out.
func (q Queries) GroupSizes(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		ID string `db:"id"`
		N  int    `db:"n"`
	}
	err := q.list(ctx, &rows, `SELECT group_id AS id, count(*) AS n FROM persons WHERE group_id IS NOT NULL AND erased_at IS NULL GROUP BY group_id`)
	out := make(map[string]int, len(rows))
	for _, r := range rows {
		out[r.ID] = r.N
	}
	return out, err
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
	return listAs(ctx, q, groupRow.group, `SELECT `+groupColumns+` FROM groups`+tail, args...)
}

// groupMissing turns the refusal of a reference into ErrNoGroup, for rows that refer to nothing but a group.
func groupMissing(err error) error {
	if foreignKey(err) {
		return ErrNoGroup
	}
	return err
}

// foreignKey says whether a reference to another row refused the change.
func foreignKey(err error) bool {
	var pe *pq.Error
	if errors.As(err, &pe) {
		return pe.Code == "23503"
	}
	var se *sqlite.Error
	return errors.As(err, &se) && se.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}
