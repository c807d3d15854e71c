package keys_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/keys"
)

var keyEncryptionKey = bytes.Repeat([]byte{1}, 32)

func newStore(t *testing.T, dir string) *keys.FileStore {
	t.Helper()
	store, err := keys.NewFileStore(dir, keyEncryptionKey)
	require.NoError(t, err)
	return store
}

func TestGenerateThenOpen(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		t.Run(curve.Params().Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			made, err := newStore(t, dir).Generate(t.Context(), "ds-1", curve)
			require.NoError(t, err)
			require.Equal(t, curve, made.Public().(*ecdsa.PublicKey).Curve)

			store := newStore(t, dir) // a second store has nothing in memory
			opened, err := store.Open(t.Context(), "ds-1")
			require.NoError(t, err)
			require.True(t, made.Public().(*ecdsa.PublicKey).Equal(opened.Public()))

			digest := sha256.Sum256([]byte("message"))
			signature, err := opened.Sign(rand.Reader, digest[:], crypto.SHA256)
			require.NoError(t, err)
			require.True(t, ecdsa.VerifyASN1(made.Public().(*ecdsa.PublicKey), digest[:], signature))

			again, err := store.Open(t.Context(), "ds-1")
			require.NoError(t, err)
			require.Same(t, opened, again)
		})
	}
}

func TestKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	_, err := newStore(t, dir).Generate(t.Context(), "iaca", elliptic.P384())
	require.NoError(t, err)

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	info, err = os.Stat(keyPath(dir, "iaca"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	requireOnlyFiles(t, dir, "iaca.key.json")

	fields := readKeyFile(t, dir, "iaca")
	require.EqualValues(t, 1, fields["version"])
	require.Equal(t, "iaca", fields["id"])
	require.Equal(t, "ES384", fields["algorithm"])
	require.Len(t, fields, 5)
}

func TestGenerateConcurrentlyHasOneWinner(t *testing.T) {
	dir := t.TempDir()
	signers := make([]crypto.Signer, 8)
	results := make([]error, len(signers))
	var group sync.WaitGroup
	for i := range signers {
		store := newStore(t, dir) // stores of their own, as separate processes have
		group.Go(func() { signers[i], results[i] = store.Generate(t.Context(), "ds", elliptic.P256()) })
	}
	group.Wait()
	requireOneWinner(t, results)

	kept, err := newStore(t, dir).Open(t.Context(), "ds")
	require.NoError(t, err)
	for i, err := range results {
		if err == nil {
			require.True(t, kept.Public().(*ecdsa.PublicKey).Equal(signers[i].Public()))
		}
	}
	requireOnlyFiles(t, dir, "ds.key.json")
}

func TestOpenConcurrently(t *testing.T) {
	dir := t.TempDir()
	_, err := newStore(t, dir).Generate(t.Context(), "ds", elliptic.P256())
	require.NoError(t, err)
	store := newStore(t, dir)
	signers := make([]crypto.Signer, 8)
	results := make([]error, len(signers))
	var group sync.WaitGroup
	for i := range signers {
		group.Go(func() { signers[i], results[i] = store.Open(t.Context(), "ds") })
	}
	group.Wait()
	for i := range signers {
		require.NoError(t, results[i])
		require.Same(t, signers[0], signers[i])
	}
}

// TestGenerateAfterRemoval covers an operator who removed a key file: the signer in memory must be that of the file.
func TestGenerateAfterRemoval(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, dir)
	_, err := store.Generate(t.Context(), "ds", elliptic.P256())
	require.NoError(t, err)
	require.NoError(t, os.Remove(keyPath(dir, "ds")))
	second, err := store.Generate(t.Context(), "ds", elliptic.P256())
	require.NoError(t, err)
	opened, err := store.Open(t.Context(), "ds")
	require.NoError(t, err)
	require.Same(t, second, opened)
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string, fields map[string]any)
		want   error
	}{
		{"tampered ciphertext", func(_ *testing.T, _ string, f map[string]any) { f["ciphertext"] = flip(f["ciphertext"]) }, keys.ErrWrongKey},
		{"tampered nonce", func(_ *testing.T, _ string, f map[string]any) { f["nonce"] = flip(f["nonce"]) }, keys.ErrWrongKey},
		{"short nonce", func(_ *testing.T, _ string, f map[string]any) { f["nonce"] = "AAAA" }, keys.ErrDamaged},
		{"no ciphertext", func(_ *testing.T, _ string, f map[string]any) { delete(f, "ciphertext") }, keys.ErrWrongKey},
		{"other algorithm", func(_ *testing.T, _ string, f map[string]any) { f["algorithm"] = "ES512" }, keys.ErrDamaged},
		{"other version", func(_ *testing.T, _ string, f map[string]any) { f["version"] = 2 }, keys.ErrDamaged},
		{"other id", func(_ *testing.T, _ string, f map[string]any) { f["id"] = "other" }, keys.ErrDamaged},
		{"other key's file under this id", func(t *testing.T, dir string, f map[string]any) {
			_, err := newStore(t, dir).Generate(t.Context(), "other", elliptic.P256())
			require.NoError(t, err)
			for name, value := range readKeyFile(t, dir, "other") {
				f[name] = value
			}
			f["id"] = "ds"
		}, keys.ErrWrongKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := newStore(t, dir).Generate(t.Context(), "ds", elliptic.P256())
			require.NoError(t, err)
			fields := readKeyFile(t, dir, "ds")
			test.change(t, dir, fields)
			content, err := json.Marshal(fields)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(keyPath(dir, "ds"), content, 0o600))

			_, err = newStore(t, dir).Open(t.Context(), "ds")
			require.ErrorIs(t, err, test.want)
		})
	}
	for name, content := range map[string][]byte{
		"empty file": nil, "no JSON": []byte("{"), "too large": bytes.Repeat([]byte(" "), 20<<10), "array": []byte("[]"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(keyPath(dir, "ds"), content, 0o600))
			_, err := newStore(t, dir).Open(t.Context(), "ds")
			require.ErrorIs(t, err, keys.ErrDamaged)
		})
	}
}

func TestOpenWithWrongKey(t *testing.T) {
	dir := t.TempDir()
	_, err := newStore(t, dir).Generate(t.Context(), "ds", elliptic.P256())
	require.NoError(t, err)
	other, err := keys.NewFileStore(dir, bytes.Repeat([]byte{2}, 32))
	require.NoError(t, err)

	_, err = other.Open(t.Context(), "ds")
	require.ErrorIs(t, err, keys.ErrWrongKey)
	require.ErrorContains(t, err, "server secret")
	_, err = other.Generate(t.Context(), "ds", elliptic.P256())
	require.ErrorIs(t, err, keys.ErrExists)
}

func TestIDs(t *testing.T) {
	store := newStore(t, t.TempDir())
	for _, id := range []string{"", "A", "a/b", "..", "../x", "a.b", "ä", "a b", "a\n", strings.Repeat("a", 65)} {
		_, err := store.Generate(t.Context(), id, elliptic.P256())
		require.ErrorIs(t, err, keys.ErrInvalidID, "%q", id)
		_, err = store.Open(t.Context(), id)
		require.ErrorIs(t, err, keys.ErrInvalidID, "%q", id)
	}
	_, err := store.Generate(t.Context(), strings.Repeat("a", 64), elliptic.P256())
	require.NoError(t, err)
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, dir)
	ids, err := store.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, ids)
	for _, id := range []string{"ds-2", "iaca", "ds"} {
		_, err := store.Generate(t.Context(), id, elliptic.P256())
		require.NoError(t, err)
	}
	for _, stray := range []string{".new-123", "notes.txt", "Upper.key.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, stray), nil, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder.key.json"), 0o700))
	ids, err = store.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"ds", "ds-2", "iaca"}, ids)
}

func TestRefusedArguments(t *testing.T) {
	store := newStore(t, t.TempDir())
	_, err := store.Open(t.Context(), "none")
	require.ErrorIs(t, err, keys.ErrNotFound)
	for _, curve := range []elliptic.Curve{nil, elliptic.P224()} {
		_, err = store.Generate(t.Context(), "ds", curve)
		require.ErrorIs(t, err, keys.ErrUnsupportedCurve)
	}
	_, err = keys.NewFileStore(t.TempDir(), make([]byte, 16))
	require.ErrorContains(t, err, "32 bytes")

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Generate(canceled, "ds", elliptic.P256())
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Open(canceled, "ds")
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.List(canceled)
	require.ErrorIs(t, err, context.Canceled)
}

func TestSignerDoesNotGiveTheKeyAway(t *testing.T) {
	signer, err := newStore(t, t.TempDir()).Generate(t.Context(), "ds", elliptic.P256())
	require.NoError(t, err)
	_, isKey := signer.(*ecdsa.PrivateKey)
	require.False(t, isKey)

	encoded, err := json.Marshal(signer)
	require.NoError(t, err)
	require.Equal(t, "{}", string(encoded))
	// Neither the public point nor anything longer than an address may appear; the private scalar has 77 decimal digits.
	require.NotRegexp(t, `[0-9]{40}|[0-9a-f]{40}`, fmt.Sprintf("%v %+v %#v %x", signer, signer, signer, signer))
}

func keyPath(dir, id string) string { return filepath.Join(dir, id+".key.json") }

func readKeyFile(t *testing.T, dir, id string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(keyPath(dir, id))
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(content, &fields))
	return fields
}

// flip changes the first character of a base64 text to another of the alphabet.
func flip(value any) any {
	text, _ := value.(string)
	if strings.HasPrefix(text, "A") {
		return "B" + text[1:]
	}
	return "A" + text[1:]
}
