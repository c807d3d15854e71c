// Package keys holds what must stay secret: the server secret from which every other symmetric key is derived, and the
// private keys that sign certificates, documents and status lists.
//
// Private keys are used, never read: callers get a crypto.Signer and no way to the key behind it. [FileStore] keeps them in
// encrypted files; [Manager] is what the rest of the program asks for, so that a hardware module can take the place of files.
//
// The package does not know what a key is for: certificates belong to package pki, the choice of a signer to the issuer.
package keys

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
)

// Manager makes and opens private keys by id. When Generate returns without error the key survives a crash.
type Manager interface {
	// Generate makes a key on the curve (P-256, P-384 or P-521) and keeps it under id. A taken id is [ErrExists]; of several
	// concurrent calls with one id exactly one succeeds.
	Generate(ctx context.Context, id string, curve elliptic.Curve) (crypto.Signer, error)
	// Open returns the key kept under id, or [ErrNotFound].
	Open(ctx context.Context, id string) (crypto.Signer, error)
}

var (
	// ErrExists is returned instead of overwriting a secret or a key.
	ErrExists = errors.New("already exists")
	// ErrNotFound is returned when there is no secret or key at the place asked for.
	ErrNotFound = errors.New("not found")
	// ErrInvalidID is returned for a key id that is not 1 to 64 characters of a-z, 0-9 and hyphen.
	ErrInvalidID = errors.New("key id must be 1 to 64 characters of a-z, 0-9 and hyphen")
	// ErrUnsupportedCurve is returned for a curve other than P-256, P-384 and P-521.
	ErrUnsupportedCurve = errors.New("curve must be P-256, P-384 or P-521")
	// ErrWrongKey is returned when the key-encryption key does not open a key file.
	ErrWrongKey = errors.New("the key-encryption key does not open this key file: start with the server secret the key was made " +
		"with, or restore the key file from a backup if it was altered")
	// ErrDamaged is returned when a key file cannot be read as one.
	ErrDamaged = errors.New("the key file is damaged: restore it from a backup")
	// ErrSecretLength is returned for a server secret that is not exactly 32 bytes.
	ErrSecretLength = errors.New("the server secret must be exactly 32 bytes")
	// ErrSecretPermissions is returned for a secret file that others can read or change.
	ErrSecretPermissions = errors.New("the server secret is open to others: set the file mode to 0600")
)
