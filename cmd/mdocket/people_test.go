package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeopleImport(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	people, key := file("people.CSV", "given_name,family_name\nA,B\n"), file("key", "mdk_secret\n")
	const refused = `{"line":3,"result":"refused","code":"invalid","problems":[{"field":"given_name","problem":"is required"},` +
		`{"field":"group","problem":"names no group"}]}` + "\n"
	answer, status := "", http.StatusOK
	var sent, query, mediaType, authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			status = http.StatusTeapot
		}
		sent, query, mediaType, authorization = string(body), r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("Authorization")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	send := func(args ...string) (int, string, string) {
		return mdocket(t, append([]string{"people", "import", "--server", server.URL + "/", "--api-key-file", key}, args...)...)
	}

	answer = `{"progress":{"rows":1000,"bytes":13}}` + "\n" + `{"line":2,"result":"created","person_id":"p1"}` + "\n" +
		`{"summary":{"created":1,"updated":0,"refused":0}}` + "\n"
	code, out, errs := send(people, "--results", "all", "--create-groups")
	require.Zero(t, code, errs)
	require.Equal(t, "line 2 created p1\n1 created, 0 updated, 0 refused\n", out)
	require.Equal(t, "\r1000 rows, 48 % of the file \n", errs)
	require.Equal(t, "given_name,family_name\nA,B\n", sent)
	require.Equal(t, "create_groups=true&results=all", query)
	require.Equal(t, "text/csv", mediaType)
	require.Equal(t, "Bearer mdk_secret", authorization)

	answer = refused + `{"summary":{"created":0,"updated":2,"refused":1}}` + "\n"
	code, out, errs = send(people, "--format", "ndjson")
	require.Equal(t, 1, code)
	require.Equal(t, "line 3 refused: given_name is required; group names no group\n0 created, 2 updated, 1 refused\n", out)
	require.Equal(t, "mdocket: 1 rows were refused\n", errs)
	require.Equal(t, "application/x-ndjson", mediaType)
	require.Equal(t, "results=refused", query)

	for name, c := range map[string]struct {
		answer string
		status int
		says   string
	}{
		"broke off":     {refused, http.StatusOK, "the answer broke off"},
		"stopped":       {`{"problem":{"status":413,"code":"too_large","detail":"too large"}}`, http.StatusOK, "413 too_large: too large"},
		"not an answer": {`<html>`, http.StatusOK, "read answer"},
		"refused":       {`{"code":"forbidden","detail":"a permission is missing"}`, http.StatusForbidden, "403 forbidden: a permission is missing"},
		"no problem":    {`<html>`, http.StatusBadGateway, "the server answered 502"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, status = c.answer, c.status
			code, _, errs := send(people)
			require.Equal(t, 1, code)
			require.Contains(t, errs, c.says)
			require.Equal(t, 1, strings.Count(errs, "\n"))
		})
	}
	status, sent = http.StatusOK, ""
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"no file":         {nil, 2},
		"unknown format":  {[]string{file("people.xlsx", "x")}, 2},
		"bad format":      {[]string{people, "--format", "xml"}, 2},
		"bad results":     {[]string{people, "--results", "none"}, 2},
		"bad server":      {[]string{people, "--server", "issuer.example"}, 2},
		"file missing":    {[]string{filepath.Join(dir, "none.csv")}, 1},
		"key missing":     {[]string{people, "--api-key-file", filepath.Join(dir, "none")}, 1},
		"nobody answers":  {[]string{people, "--server", "http://127.0.0.1:1"}, 1},
		"too many files":  {[]string{people, people}, 2},
		"unknown command": {[]string{people, "--dry-run"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := send(c.args...)
			require.Equal(t, c.code, code, errs)
			require.Empty(t, out)
		})
	}
	code, _, _ = mdocket(t, "people", "import", people)
	require.Equal(t, 2, code, "server and key are needed")
	require.Empty(t, sent)
}
