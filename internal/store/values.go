package store

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Time is an instant in UTC, cut to micro-seconds, the same on both databases; the zero Time is NULL.
type Time struct{ time.Time }

// timeForm has a fixed width, so that texts compare as instants do.
const timeForm = "2006-01-02T15:04:05.000000Z"

// At makes a Time.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Microsecond)}
}

// Value implements driver.Valuer.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UTC().Format(timeForm), nil
}

// Scan implements sql.Scanner.
func (t *Time) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = Time{}
	case time.Time:
		*t = At(v)
	case string:
		p, err := time.Parse(timeForm, v)
		if err != nil {
			return errors.New("read time: not in the stored form")
		}
		*t = At(p)
	default:
		return fmt.Errorf("read time: unexpected %T", v)
	}
	return nil
}

// OptionalID is an id that may be missing; the empty one is NULL.
type OptionalID string

// Value implements driver.Valuer.
func (o OptionalID) Value() (driver.Value, error) {
	if o == "" {
		return nil, nil
	}
	return string(o), nil
}

// Scan implements sql.Scanner.
func (o *OptionalID) Scan(v any) error {
	var s sql.NullString
	if err := s.Scan(v); err != nil {
		return fmt.Errorf("read id: %w", err)
	}
	*o = OptionalID(s.String)
	return nil
}

// JSON stores a value as JSON text.
type JSON[T any] struct{ V T }

// Value implements driver.Valuer.
func (j JSON[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(j.V)
	if err != nil {
		return nil, fmt.Errorf("write JSON column: %w", err)
	}
	return string(b), nil
}

// Scan implements sql.Scanner.
func (j *JSON[T]) Scan(v any) error {
	var b []byte
	switch v := v.(type) {
	case string:
		b = []byte(v)
	case []byte:
		b = v
	default:
		return fmt.Errorf("read JSON column: unexpected %T", v)
	}
	if err := json.Unmarshal(b, &j.V); err != nil {
		return errors.New("read JSON column: not the stored form")
	}
	return nil
}
