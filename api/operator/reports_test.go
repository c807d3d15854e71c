package operator_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
)

// lines reads a CSV answer.
func (a answer) lines(t testing.TB) [][]string {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.Equal(t, "text/csv; charset=utf-8; header=present", a.header.Get("Content-Type"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, strings.Count(string(a.body), "\n"), strings.Count(string(a.body), "\r\n"), "lines end as RFC 4180 says")
	all, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func TestReportsOverHTTP(t *testing.T) { onBoth(t, testReportsOverHTTP) }

func testReportsOverHTTP(t *testing.T, s *server) {
	profile := s.Profile(t, "plain", func(o *domain.ProfileOptions) { o.CredentialGroup = "=cmd|'/C calc'!A0" })
	names := []string{"=1+1", "+1", "-1", "@SUM(A1)", `Mu"ster, "mann`}
	for _, name := range names {
		s.Issue(t, s.Person(t, func(p *domain.Person) { p.FamilyName = name }).ID, profile.ID)
	}
	t.Run("pages", func(t *testing.T) {
		var ids []string
		path := "/v1/reports/documents?sort=serial&limit=2"
		for next := ""; ; {
			page := s.call(t, s.admin, http.MethodGet, path+next, nil).object(t, http.StatusOK)
			items, ok := page["items"].([]any)
			require.True(t, ok)
			for _, item := range items {
				row, ok := item.(map[string]any)
				require.True(t, ok)
				ids = append(ids, text(t, row, "serial"))
				require.IsType(t, 1.0, row["copies"])
				_, err := time.Parse(time.RFC3339Nano, text(t, row, "valid_until"))
				require.NoError(t, err)
			}
			if page["next"] == nil {
				break
			}
			next = "&after=" + text(t, page, "next")
		}
		require.Len(t, ids, len(names))
		require.True(t, slices.IsSorted(ids))
	})
	t.Run("CSV", func(t *testing.T) {
		for _, how := range []struct{ query, accept string }{{"?format=csv", ""}, {"", "text/csv"}, {"?format=csv", "application/json"},
			{"?limit=1", "application/json;q=0.5, text/csv"}} {
			a := s.call(t, s.admin, http.MethodGet, "/v1/reports/documents"+how.query, nil, "Accept", how.accept)
			require.Equal(t, `attachment; filename="documents.csv"`, a.header.Get("Content-Disposition"))
			all := a.lines(t)
			require.Len(t, all, 1+len(names))
			family, category := slices.Index(all[0], "family_name"), slices.Index(all[0], "category")
			var got []string
			for _, line := range all[1:] {
				got = append(got, line[family])
				require.Equal(t, "'=cmd|'/C calc'!A0", line[category])
			}
			require.ElementsMatch(t, []string{"'=1+1", "'+1", "'-1", "'@SUM(A1)", `Mu"ster, "mann`}, got)
		}
		s.call(t, s.admin, http.MethodGet, "/v1/reports/documents?format=json", nil, "Accept", "text/csv").items(t)
		s.call(t, s.admin, http.MethodGet, "/v1/reports/documents", nil, "Accept", "*/*").items(t)
		require.Len(t, s.call(t, s.admin, http.MethodGet, "/v1/reports/batches?format=csv", nil).lines(t), 1, "the names come without rows too")
		all := s.call(t, s.admin, http.MethodGet, "/v1/audit?format=csv&action=profile.create", nil).lines(t)
		require.Equal(t, "seq", all[0][0])
		require.Equal(t, "profile.create", all[1][slices.Index(all[0], "action")])
	})
	t.Run("without people_read", func(t *testing.T) {
		token := s.Token(t, s.Caller(t, "reader", "", issuertest.All(domain.PermReports)))
		for _, line := range s.call(t, token, http.MethodGet, "/v1/reports/documents?format=csv", nil).lines(t)[1:] {
			require.Empty(t, strings.Join(line[len(line)-3:], ""))
		}
	})
	t.Run("refused", func(t *testing.T) {
		s.changesNothing(t, func() {
			for path, code := range map[string]domain.Code{
				"/v1/reports/documents?sort=given_name": domain.CodeInvalid, "/v1/reports/documents?days=3": domain.CodeInvalid,
				"/v1/reports/documents?after=x": domain.CodeInvalid, "/v1/reports/documents?state=prepared": domain.CodeInvalid,
				"/v1/reports/documents?family_name=Mustermann": domain.CodeInvalid, "/v1/reports/nothing": domain.CodeNotFound,
				"/v1/reports/documents?format=xml": domain.CodeInvalid, "/v1/audit?from=yesterday": domain.CodeInvalid,
			} {
				p := s.call(t, s.admin, http.MethodGet, path, nil, "Accept", "text/csv").refused(t, code)
				require.NotContains(t, p.Detail, "Mustermann")
			}
		})
	})
}

// Every report says of itself what it takes, and takes it.
func TestReportsTakeWhatTheyList(t *testing.T) {
	s := newServer(t)
	good := map[string]string{"id": nobody, "text": "x", "number": "1", "day": "2026-01-01", "group": issuertest.PersonGroup}
	all := s.call(t, s.admin, http.MethodGet, "/v1/reports", nil).items(t)
	require.Len(t, all, 9)
	list := func(object map[string]any, member string) []map[string]any {
		in, ok := object[member].([]any)
		require.True(t, ok, member)
		out := make([]map[string]any, len(in))
		for i, v := range in {
			out[i], ok = v.(map[string]any)
			require.True(t, ok)
		}
		return out
	}
	for _, r := range all {
		path := "/v1/reports/" + text(t, r, "name")
		require.NotEmpty(t, text(t, r, "about"))
		query := url.Values{}
		for _, f := range list(r, "filters") {
			name, kind := text(t, f, "name"), text(t, f, "kind")
			value := good[kind]
			if kind == "choice" {
				value = fmt.Sprint(f["values"].([]any)[0])
			}
			query.Set(name, value)
			s.call(t, s.admin, http.MethodGet, path+"?"+url.Values{name: {value}}.Encode(), nil).items(t)
		}
		s.call(t, s.admin, http.MethodGet, path+"?"+query.Encode(), nil).items(t)
		names := []string{}
		for _, c := range list(r, "columns") {
			names = append(names, text(t, c, "name"))
		}
		require.Equal(t, names, s.call(t, s.admin, http.MethodGet, path+"?format=csv", nil).lines(t)[0])
		sorts, ok := r["sorts"].([]any)
		require.True(t, ok)
		for _, by := range sorts {
			require.Contains(t, names, by)
			s.call(t, s.admin, http.MethodGet, path+"?sort=-"+fmt.Sprint(by), nil).items(t)
		}
	}
}

// brokenWriter takes one page of a download.
type brokenWriter struct {
	*httptest.ResponseRecorder
	then  func()
	fails error
	full  bool
}

func (w *brokenWriter) Flush() {
	w.full = true
	w.then()
}

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.full && w.fails != nil {
		return 0, w.fails
	}
	return w.ResponseRecorder.Write(b)
}

// A download that cannot go on is cut off, never ended as if it were whole, and the audit says so.
func TestDownloadsAreCutOff(t *testing.T) { onBoth(t, testDownloadsAreCutOff) }

func testDownloadsAreCutOff(t *testing.T, s *server) {
	const rows = 1500 // more than one page of an export
	person := s.Person(t)
	require.NoError(t, s.Store.Tx(t.Context(), func(tx *store.Tx) error {
		for range rows {
			err := tx.InsertMessage(t.Context(), store.Message{ID: uuid.Must(uuid.NewV7()).String(), PersonID: person.ID, Channel: domain.ChannelEmail,
				Kind: domain.MessageCancellation, State: store.MessageFailed, CreatedAt: store.At(time.Now()), UpdatedAt: store.At(time.Now())})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	const path = "/v1/reports/failed-notifications?format=csv"
	require.Len(t, s.call(t, s.admin, http.MethodGet, path, nil).lines(t), 1+rows)
	for name, fails := range map[string]error{"the caller leaves": nil, "the caller does not read on": errors.New("i/o timeout")} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			w := &brokenWriter{ResponseRecorder: httptest.NewRecorder(), then: func() {}, fails: fails}
			if fails == nil {
				w.then = leave
			}
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
			r.Header.Set("Authorization", "Bearer "+s.admin)
			require.PanicsWithValue(t, http.ErrAbortHandler, func() { s.handler.ServeHTTP(w, r) })
			entries, err := s.Store.Audit(t.Context(), store.AuditFilter{}, s.AuditHead(t)-1, 1)
			require.NoError(t, err)
			require.Equal(t, "report.export", entries[0].Action)
			require.Equal(t, "false", entries[0].Changes["complete"].After)
			require.Equal(t, "1000", entries[0].Changes["rows"].After)
			require.NotContains(t, s.Logs.String(), "call failed", "it is the caller's doing")
		})
	}
}
