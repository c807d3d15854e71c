package main

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/config"
)

func TestWalletAttestor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "attestor")
	code, out, errs := mdocket(t, "wallet", "attestor", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "attestation.roots_dir")
	key, cert := filepath.Join(dir, "attestor.key"), filepath.Join(dir, "attestor.pem")
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	attest := attesting{key: key, cert: cert, keyStorage: "iso_18045_basic"}
	made, err := attest.attestor()
	require.NoError(t, err)
	require.Equal(t, "iso_18045_basic", made.KeyStorage)
	require.NoError(t, os.Remove(filepath.Join(dir, "attestor.pem")))
	roots, err := config.Attestation{RootsDir: dir}.Roots()
	require.NoError(t, err, "its root is what an issuer takes")
	require.Len(t, roots, 1)
	require.NoError(t, made.Chain[0].CheckSignatureFrom(roots[0]))

	code, _, errs = mdocket(t, "wallet", "attestor", dir)
	require.Equal(t, 1, code, "what is there stays")
	require.Contains(t, errs, "make folder")
}

func TestAttestorsThatCannotBeRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "attestor")
	code, _, errs := mdocket(t, "wallet", "attestor", dir)
	require.Zero(t, code, errs)
	key, cert, other := filepath.Join(dir, "attestor.key"), filepath.Join(dir, "attestor.pem"), filepath.Join(dir, "other")
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no DER")})
	require.NoError(t, os.WriteFile(other, broken, 0o600))
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no certificate":     {[]string{"--attestation-key", key}, 2, "--attestation-cert"},
		"levels alone":       {[]string{"--key-storage", "iso_18045_high"}, 2, "--attestation-key"},
		"no such key":        {[]string{"--attestation-key", filepath.Join(dir, "none"), "--attestation-cert", cert}, 1, "read attestation key"},
		"key no PEM":         {[]string{"--attestation-key", empty, "--attestation-cert", cert}, 1, "not PEM"},
		"key something else": {[]string{"--attestation-key", cert, "--attestation-cert", cert}, 1, "not in PKCS #8"},
		"no such cert": {[]string{"--attestation-key", key, "--attestation-cert", filepath.Join(dir, "none")}, 1,
			"read attestation certificate"},
		"cert broken":     {[]string{"--attestation-key", key, "--attestation-cert", other}, 1, "not a certificate"},
		"cert empty":      {[]string{"--attestation-key", key, "--attestation-cert", empty}, 1, "are needed"},
		"cert of another": {[]string{"--attestation-key", key, "--attestation-cert", filepath.Join(dir, "root.pem")}, 1, "another key"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range [][]string{{"wallet", "collect", "http://127.0.0.1:1/c/none"}, {"wallet", "refresh", "none"}} {
				args := append(append(command, "--dir", t.TempDir()), c.args...)
				code, _, errs := mdocket(t, args...)
				require.Equal(t, c.code, code, errs)
				require.Contains(t, errs, c.says)
			}
		})
	}
}
