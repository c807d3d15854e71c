package store

import "context"

// MigrateTo brings the schema to an earlier version than the newest, and Exec runs a statement, to try what a migration does with data.
func (s *Store) MigrateTo(ctx context.Context, version int64) error {
	p, err := s.migrator()
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

// Exec runs one statement.
func (s *Store) Exec(ctx context.Context, text string, args ...any) error {
	_, err := s.exec(ctx, text, args...)
	return err
}

// ReportText gives the SQL of a page of a report and its arguments.
func (q Queries) ReportText(ctx context.Context, r Report, want ReportQuery) (string, []any, error) {
	return q.reportQuery(ctx, r, want)
}

// Prepared gives how many texts are kept prepared, and how many may be.
func (s *Store) Prepared() (kept, most int) {
	s.prepared.mu.RLock()
	defer s.prepared.mu.RUnlock()
	return len(s.prepared.by), mostStatements
}
