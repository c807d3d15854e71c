package store

import "context"

// ReportText gives the SQL of a page of a report and its arguments.
func (q Queries) ReportText(ctx context.Context, r Report, want ReportQuery) (string, []any, error) {
	return q.reportQuery(ctx, r, want)
}
