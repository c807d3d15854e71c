package config_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/config"
	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/wallet"
)

// folder makes a folder with the files.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func rootPEM(t testing.TB) string {
	t.Helper()
	_, root, err := wallet.NewAttestor(time.Now())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
}

func TestAttestation(t *testing.T) {
	c, err := config.Load(file(t, good))
	require.NoError(t, err)
	roots, err := c.Attestation.Roots()
	require.NoError(t, err)
	require.Empty(t, roots, "nobody is trusted by default")
	require.Equal(t, domain.Resistances{KeyStorage: domain.PotentialHigh, UserAuthentication: domain.PotentialHigh}, c.Attestation.Most())

	dir := folder(t, map[string]string{"a.pem": "issued to a\n" + rootPEM(t) + rootPEM(t), "b.crt": rootPEM(t), "README": "not read",
		"c.key": "nor this"})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "old.pem"), 0o700))
	c, err = config.Load(file(t, good+"\nattestation: {roots_dir: "+dir+", key_storage: iso_18045_moderate, user_authentication: ''}"))
	require.NoError(t, err)
	roots, err = c.Attestation.Roots()
	require.NoError(t, err)
	require.Len(t, roots, 3)
	require.Equal(t, domain.Resistances{KeyStorage: domain.PotentialModerate}, c.Attestation.Most())
}

func TestEveryProblemOfAttestationIsNamed(t *testing.T) {
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("s3cr3tpa55")}))
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"empty folder": {nil, "attestation.roots_dir: has no certificate"},
		"other files":  {map[string]string{"root.der": "x"}, "attestation.roots_dir: has no certificate"},
		"empty file":   {map[string]string{"a.pem": ""}, "attestation.roots_dir: a.pem: has no certificate"},
		"a key":        {map[string]string{"a.pem": rootPEM(t) + key}, "attestation.roots_dir: a.pem: has something else"},
		"broken": {map[string]string{"a.pem": rootPEM(t), "b.pem": strings.Replace(rootPEM(t), "MII", "AAA", 1)},
			"b.pem: has a certificate that"},
		"far too large": {map[string]string{"a.pem": strings.Repeat("x", 2<<20)}, "a.pem: is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(file(t, good+"\nattestation: {roots_dir: "+folder(t, c.files)+"}"))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "s3cr3tpa55")
		})
	}
	_, err := config.Load(file(t, good+"\nattestation: {roots_dir: /no/such/folder, key_storage: high, user_authentication: face}"))
	for _, name := range []string{"attestation.roots_dir: cannot be read", "attestation.key_storage: must be",
		"attestation.user_authentication: must be"} {
		require.ErrorContains(t, err, name)
	}
	t.Setenv("MDOCKET_ATTESTATION__USER_AUTHENTICATION", "iso_18045_basic")
	c, err := config.Load(file(t, good))
	require.NoError(t, err)
	require.Equal(t, domain.PotentialBasic, c.Attestation.Most().UserAuthentication)
}
