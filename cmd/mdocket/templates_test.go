package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/notify"
)

// mdocket runs a command line and gives its exit code and what it printed.
func mdocket(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func writeTemplate(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestTemplatesCheck(t *testing.T) {
	t.Setenv("MDOCKET_TEMPLATES_DIR", "")
	code, out, errs := mdocket(t, "templates", "check")
	require.Zero(t, code, errs)
	require.Regexp(t, `^OK: \d+ templates of 9 kinds in the languages de, en; 0 are the operator's, the others as shipped\n$`, out)

	dir := t.TempDir()
	writeTemplate(t, dir, "fr/reprovision.subject.txt", "Mise à jour")
	writeTemplate(t, dir, "fr/reprovision.text.txt", "{{.DocumentName}}")
	writeTemplate(t, dir, "fr/reprovision.html.html", "<p>{{.DocumentName}}</p>")
	code, out, errs = mdocket(t, "templates", "check", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "in the languages de, en, fr; 3 are the operator's")
	require.Contains(t, out, "note: fr lacks collection_link, authentication_code, logon_code,")

	writeTemplate(t, dir, "de/logon_code.sms.txt", "{{.Code}}\nhttps://issuer.example\n{{.Cod}}")
	writeTemplate(t, dir, "en/cancellation.subject.txt", "{{if eq .Cause \"lots\"}}{{end}}x")
	t.Setenv("MDOCKET_TEMPLATES_DIR", dir)
	code, out, errs = mdocket(t, "templates", "check")
	require.Equal(t, 1, code)
	require.Equal(t, "mdocket: the templates have 3 mistake(s)\n", errs)
	require.Equal(t, []string{
		"de/logon_code.sms.txt:2: no link belongs here: link and code must never be in one message",
		"de/logon_code.sms.txt:3: unknown field .Cod, known are .Code, .LogonName, .ServerName, .ValidUntil",
		`en/cancellation.subject.txt:1: .Cause is never "lots", known are lost, stolen, damaged, compromised, withdrawn, left, other`,
	}, strings.Split(strings.TrimSpace(out), "\n"))

	code, _, errs = mdocket(t, "templates", "check", dir, "x")
	require.Equal(t, 2, code, errs)
	code, out, _ = mdocket(t, "templates", "check", filepath.Join(dir, "missing"))
	require.Equal(t, 1, code)
	require.Contains(t, out, "folder cannot be read")
}

func TestTemplatesShow(t *testing.T) {
	t.Setenv("MDOCKET_TEMPLATES_DIR", "")
	for _, kind := range notify.Kinds() {
		code, out, errs := mdocket(t, "templates", "show", string(kind), "--language", "de-CH")
		require.Zero(t, code, errs)
		require.True(t, strings.HasPrefix(out, "Language: de\nSubject: Sample Authority: "), out)
		require.Contains(t, out, "Guten Tag")
		require.NotContains(t, out, "<html")
		bySMS := kind == notify.KindAuthenticationCode || kind == notify.KindLogonCode
		require.Equal(t, bySMS, strings.Contains(out, "\nSMS: Sample Authority: "))
	}
	_, out, _ := mdocket(t, "templates", "show", "cancellation", "--html")
	require.Contains(t, out, "Hello Ada,")
	require.Contains(t, out, `<html lang="en">`)
	_, out, _ = mdocket(t, "templates", "show", "cancellation", "--all")
	require.Contains(t, out, "reported stolen")
	require.Contains(t, out, "Hello,")

	dir := t.TempDir()
	writeTemplate(t, dir, "en/logon_code.sms.txt", "ours: {{.Code}}")
	code, out, errs := mdocket(t, "templates", "show", "logon_code", "--dir", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "SMS: ours: ")

	writeTemplate(t, dir, "en/logon_code.text.txt", "{{")
	code, _, errs = mdocket(t, "templates", "show", "logon_code", "--dir", dir)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "en/logon_code.text.txt:1: ")

	code, _, errs = mdocket(t, "templates", "show", "fax")
	require.Equal(t, 2, code)
	require.Contains(t, errs, `no message of the kind "fax"; the kinds are collection_link, `)
}

func TestTemplatesExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "templates")
	code, out, errs := mdocket(t, "templates", "export", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "wrote ")
	path := filepath.Join(dir, "de", "cancellation.text.txt")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "Es wurde als verloren gemeldet.")
	require.NoError(t, os.WriteFile(path, append([]byte("Unser Text\n"), text...), 0o600), "what was exported can be edited")

	code, out, errs = mdocket(t, "templates", "check", dir)
	require.Zero(t, code, errs)
	require.NotContains(t, out, "; 0 are the operator's")

	require.NoError(t, os.Remove(filepath.Join(dir, "de", "cancellation.html.html")))
	code, _, errs = mdocket(t, "templates", "export", dir)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "nothing written: there already in "+dir)
	require.Contains(t, errs, "de/cancellation.text.txt")
	require.NoFileExists(t, filepath.Join(dir, "de", "cancellation.html.html"), "all or nothing")
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(kept), "Unser Text\n"))

	code, _, _ = mdocket(t, "templates", "export")
	require.Equal(t, 2, code)
}
