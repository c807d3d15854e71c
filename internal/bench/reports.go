package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"time"
)

const (
	reported    = 200_000      // documents that a report is of
	reportedDay = "2025-01-14" // the last one on which about a tenth of them was issued
	deepPages   = 20           // whose times are compared, at the beginning and at the end
)

// reportRows downloads a report as CSV, a tenth of it and all of it in turns, and then reads it page by page to its end.
func reportRows(ctx context.Context, o Options) ([]Row, error) {
	rows, err := reportsOn(ctx, o, "sqlite", "sqlite:"+filepath.Join(o.Dir, "reports.db"))
	if err != nil || o.Database == "" {
		return rows, err
	}
	dsn, drop, err := besides(ctx, o.Database, "reports")
	if err != nil {
		return rows, err
	}
	more, err := reportsOn(ctx, o, "postgres", dsn)
	return append(rows, more...), errors.Join(err, drop())
}

// reportsOn takes the figures on one empty database.
func reportsOn(ctx context.Context, o Options, kind, dsn string) (_ []Row, err error) {
	s, err := openPeopleServer(ctx, o, dsn, filepath.Join(o.Dir, "reports-"+kind))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := issueBare(ctx, kind, dsn, reported); err != nil {
		return nil, err
	}
	if _, _, err := s.download(ctx, reportedDay); err != nil { // warm up
		return nil, err
	}
	var rates []pair
	var smallPeak, peak float64
	for range min(o.Rounds, 3) {
		floor, small, err := s.download(ctx, reportedDay)
		if err != nil {
			return nil, err
		}
		rate, large, err := s.download(ctx, "")
		if err != nil {
			return nil, err
		}
		rates = append(rates, pair{rate, floor})
		smallPeak, peak = max(smallPeak, small), max(peak, large)
	}
	first, last, err := s.pages(ctx)
	if err != nil {
		return nil, err
	}
	m, ratio := middle(rates, valueByFloor)
	return []Row{
		{Name: fmt.Sprintf("reports.csv (%d, %s)", reported, kind), Value: m.value, Unit: "/s", Floor: m.floor, Ratio: ratio, Target: "≥ 0.8",
			Against: "rows of the same download of a tenth (value ÷ floor, the median round)"},
		{Name: fmt.Sprintf("reports.csv.memory (%s)", kind), Value: peak, Unit: "MiB", Floor: smallPeak, Ratio: peak / smallPeak, Target: "≤ 1.2",
			Against: "resident memory of the process at the most; the floor is with a tenth of the rows"},
		{Name: fmt.Sprintf("reports.page (the last %d, %s)", deepPages, kind), Value: last, Unit: "ms", Floor: first, Ratio: last / first, Target: "≤ 1.5",
			Against: fmt.Sprintf("the first %d of all pages of 500 rows (medians)", deepPages)},
	}, nil
}

// download reads the report of all documents issued until the day and gives how many rows came in a second, and the resident memory at the most.
func (s *peopleServer) download(ctx context.Context, until string) (rate, peak float64, err error) {
	debug.FreeOSMemory()
	stop := watchResident()
	started := time.Now()
	n, err := s.countLines(ctx, url.Values{"format": {"csv"}, "issued_until": {until}})
	rate, peak = float64(n)/time.Since(started).Seconds(), stop()
	if err == nil && n < reported/20 {
		err = fmt.Errorf("download: only %d rows came", n)
	}
	return rate, peak, err
}

func (s *peopleServer) countLines(ctx context.Context, query url.Values) (int, error) {
	resp, err := s.report(ctx, query)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	n := -1 // the names of the columns
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		n++
	}
	if err := lines.Err(); err != nil {
		return n, fmt.Errorf("download: %w", err)
	}
	return n, nil
}

// pages reads the report to its end, and then its first and its last pages in turns; it gives the median times of both, in milliseconds.
func (s *peopleServer) pages(ctx context.Context) (first, last float64, err error) {
	begins := []string{""}
	for {
		next, _, err := s.page(ctx, begins[len(begins)-1])
		if err != nil {
			return 0, 0, err
		}
		if next == "" { // the last page may be a part of one
			break
		}
		begins = append(begins, next)
	}
	whole := begins[:len(begins)-1]
	if len(whole) < 2*deepPages {
		return 0, 0, fmt.Errorf("read pages: only %d came", len(whole))
	}
	var firsts, lasts []float64
	for i := range deepPages {
		for begin, times := range map[string]*[]float64{whole[i]: &firsts, whole[len(whole)-deepPages+i]: &lasts} {
			_, took, err := s.page(ctx, begin)
			if err != nil {
				return 0, 0, err
			}
			*times = append(*times, float64(took.Microseconds())/1000)
		}
	}
	return median(firsts), median(lasts), nil
}

// page reads a page and gives where the next begins, and the time it took.
func (s *peopleServer) page(ctx context.Context, after string) (next string, took time.Duration, err error) {
	started := time.Now()
	resp, err := s.report(ctx, url.Values{"limit": {"500"}, "after": {after}})
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var page struct {
		Items []json.RawMessage `json:"items"`
		Next  string            `json:"next"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return "", 0, fmt.Errorf("read page: %w", err)
	}
	return page.Next, time.Since(started), nil
}

func (s *peopleServer) report(ctx context.Context, query url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/reports/documents?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("read report: %s", resp.Status), resp.Body.Close())
	}
	return resp, nil
}

// issueBare writes n documents and half as many people around the store: one document a minute from 2025 on, valid for two years.
func issueBare(ctx context.Context, kind, dsn string, n int) (err error) {
	minutes := func(base, more string) string {
		if kind == "sqlite" {
			return "strftime('%Y-%m-%dT%H:%M:%S.000000Z', '" + base + "', '+' || " + more + " || ' minutes')"
		}
		return "(TIMESTAMPTZ '" + base + " 00:00:00Z' + " + more + " * INTERVAL '1 minute')"
	}
	series := func(to int) string {
		return fmt.Sprintf(" FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n) AS n", to)
	}
	id := func(kind, i string) string { return "'" + kind + "' || CAST(10000000 + " + i + " AS TEXT)" }
	holder := id("p", fmt.Sprintf("i * 31 %% %d + 1", n/2))
	then := minutes("2025-01-01", "i")
	statements := []string{
		`INSERT INTO persons (id, external_id, logon_name, given_name, family_name, email, mobile, birth_date, language, status, max_expiry,
			external_mobile_id, attributes, version, created_at, updated_at) SELECT ` + id("p", "i") + `, 'E' || i, '', 'Given' || i % 1500,
			'Family' || i % 20000, '', '', '', '', 'active', '', '', '{}', 1, ` + then + `, ` + then + series(n/2),
		`INSERT INTO profiles (id, name, version) VALUES ('f', 'mdl', 1)`,
		`INSERT INTO requests (id, person_id, profile_id, channel, requested_by, state, expiry_date, generation, code_digits, attempts, redeemed,
			decided_by, decision_reason, failure_code, document_id, created_at, updated_at) SELECT ` + id("r", "i") + `, ` + holder + `, 'f', 'operator',
			'a', 'issued', '', 1, 8, 0, TRUE, '', '', '', ` + id("d", "i") + `, ` + then + `, ` + then + series(n),
		`INSERT INTO request_acts (id, request_id, kind, account_id, reason, params, fingerprint, applied, created_at) SELECT 'x', id, 'collect', 'wallet', '',
			'{}', '', TRUE, created_at FROM requests WHERE id = ` + id("r", "1"),
		`INSERT INTO documents (id, serial, request_id, act_id, person_id, profile_id, profile_version, format_id, format_version, doc_type, platform,
			state, credential_group, signer_id, signed_at, valid_from, valid_until, copies, created_at, updated_at) SELECT ` + id("d", "i") + `, ` +
			id("S", fmt.Sprintf("i * 7919 %% %d", n)) + `, ` + id("r", "i") + `, 'x', ` + holder + `, 'f', 1, 'iso-mdl', 1, 'org.iso.18013.5.1.mDL',
			'ios', 'active', 'driving', 's', ` + then + `, ` + then + `, ` + minutes("2027-01-01", "i") + `, 2, ` + then + `, ` + then + series(n),
		`ANALYZE`,
	}
	db, err := openBare(dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range statements {
		if kind == "sqlite" && statement == "ANALYZE" { // PostgreSQL does so by itself; SQLite never
			continue
		}
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}
