package store

import (
	"context"
	"time"
)

// Setting reads the stored JSON text of a setting.
func (q Queries) Setting(ctx context.Context, name string) (string, error) {
	var v string
	err := q.get(ctx, &v, `SELECT value FROM settings WHERE name = $1`, name)
	return v, err
}

// Settings reads all stored settings.
func (q Queries) Settings(ctx context.Context) (map[string]string, error) {
	var rows []struct {
		Name  string `db:"name"`
		Value string `db:"value"`
	}
	err := q.list(ctx, &rows, `SELECT name, value FROM settings`)
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[r.Name] = r.Value
	}
	return out, err
}

// PutSetting writes one setting.
func (q Queries) PutSetting(ctx context.Context, name, value, by string, at time.Time) error {
	_, err := q.exec(ctx, `INSERT INTO settings (name, value, updated_by, updated_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by, updated_at = excluded.updated_at`,
		name, value, by, At(at))
	return err
}
