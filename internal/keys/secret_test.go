package keys_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/keys"
)

func TestCreateSecretThenLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.secret")
	created, err := keys.CreateSecret(path, rand.Reader)
	require.NoError(t, err)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.EqualValues(t, keys.SecretSize, info.Size())

	loaded, err := keys.LoadSecret(path)
	require.NoError(t, err)
	require.Equal(t, created.Derive("purpose"), loaded.Derive("purpose"))
	require.Len(t, loaded.Derive("purpose"), keys.SecretSize)
	require.NotEqual(t, loaded.Derive("purpose"), loaded.Derive("another purpose"))
	requireOnlyFiles(t, filepath.Dir(path), "server.secret")
}

func TestCreateSecretNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.secret")
	first, err := keys.CreateSecret(path, rand.Reader)
	require.NoError(t, err)

	_, err = keys.CreateSecret(path, rand.Reader)
	require.ErrorIs(t, err, keys.ErrExists)

	kept, err := keys.LoadSecret(path)
	require.NoError(t, err)
	require.Equal(t, first.Derive("p"), kept.Derive("p"))
	requireOnlyFiles(t, filepath.Dir(path), "server.secret")
}

func TestCreateSecretConcurrentlyHasOneWinner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.secret")
	results := make([]error, 8)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { _, results[i] = keys.CreateSecret(path, rand.Reader) })
	}
	group.Wait()
	requireOneWinner(t, results)
}

func TestCreateSecretFailsWithoutRandomness(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("no randomness")
	_, err := keys.CreateSecret(filepath.Join(dir, "server.secret"), iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	requireOnlyFiles(t, dir)
}

func TestLoadSecretRefuses(t *testing.T) {
	tests := []struct {
		name    string
		content []byte
		mode    os.FileMode
		want    error
	}{
		{"too short", make([]byte, 31), 0o600, keys.ErrSecretLength},
		{"too long", make([]byte, 33), 0o600, keys.ErrSecretLength},
		{"empty", nil, 0o600, keys.ErrSecretLength},
		{"readable by everyone", make([]byte, 32), 0o604, keys.ErrSecretPermissions},
		{"writable by the group", make([]byte, 32), 0o620, keys.ErrSecretPermissions},
		{"mode 0644", make([]byte, 32), 0o644, keys.ErrSecretPermissions},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "server.secret")
			require.NoError(t, os.WriteFile(path, test.content, 0o600))
			require.NoError(t, os.Chmod(path, test.mode)) // past the umask
			_, err := keys.LoadSecret(path)
			require.ErrorIs(t, err, test.want)
		})
	}
	t.Run("missing", func(t *testing.T) {
		_, err := keys.LoadSecret(filepath.Join(t.TempDir(), "none"))
		require.ErrorIs(t, err, keys.ErrNotFound)
	})
	t.Run("directory", func(t *testing.T) {
		_, err := keys.LoadSecret(t.TempDir())
		require.ErrorIs(t, err, keys.ErrSecretLength)
	})
}

// TestDeriveIsHKDF holds the one-block expansion against the library's, so that keys stay what RFC 5869 says.
func TestDeriveIsHKDF(t *testing.T) {
	master := bytes.Repeat([]byte{7}, keys.SecretSize)
	secret, err := keys.NewSecret(master)
	require.NoError(t, err)
	for _, purpose := range []string{"", "a", "field encryption", strings.Repeat("long ", 50)} {
		want, err := hkdf.Key(sha256.New, master, []byte("mdocket server secret v1"), purpose, keys.SecretSize)
		require.NoError(t, err)
		require.Equal(t, want, secret.Derive(purpose))
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	master := bytes.Repeat([]byte("S"), keys.SecretSize)
	secret, err := keys.NewSecret(master)
	require.NoError(t, err)

	type holder struct {
		Exported *keys.Secret
		Value    keys.Secret
		hidden   *keys.Secret
		inner    keys.Secret
	}
	all := holder{Exported: secret, Value: *secret, hidden: secret, inner: *secret}

	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&shown, verb+verb+verb+"\n", secret, *secret, all)
	}
	fmt.Fprintln(&shown, secret.String(), secret.GoString(), secret.LogValue())
	encoded, err := json.Marshal(holder{Exported: secret, Value: *secret})
	require.NoError(t, err)
	require.JSONEq(t, `{"Exported":"[secret]","Value":"[secret]"}`, string(encoded))
	shown.Write(encoded)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("text", "secret", secret, "value", *secret, "all", all)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("json", "secret", secret, "value", *secret)

	text := shown.String()
	require.Contains(t, text, "[secret]")
	require.NotContains(t, text, "SSSS")
	require.NotContains(t, text, "83 83 83")
	require.NotContains(t, strings.ToLower(text), hex.EncodeToString([]byte("SSSS")))
	require.NotContains(t, text, "0x53, 0x53")
}

func requireOnlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	require.ElementsMatch(t, want, names)
}

func requireOneWinner(t *testing.T, results []error) {
	t.Helper()
	winners := 0
	for _, err := range results {
		if err == nil {
			winners++
			continue
		}
		require.ErrorIs(t, err, keys.ErrExists)
	}
	require.Equal(t, 1, winners)
}
