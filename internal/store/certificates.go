package store

import "context"

// CertificateKind says what a certificate is for.
type CertificateKind string

// The kinds of certificate.
const (
	CertificateIACA         CertificateKind = "iaca"
	CertificateDS           CertificateKind = "document_signer"
	CertificateStatusSigner CertificateKind = "status_signer"
)

// Certificate is one certificate and the name of its key.
type Certificate struct {
	ID        string          `db:"id"`
	Kind      CertificateKind `db:"kind"`
	KeyID     string          `db:"key_id"`
	DER       []byte          `db:"der"`
	NotBefore Time            `db:"not_before"`
	NotAfter  Time            `db:"not_after"`
	RevokedAt Time            `db:"revoked_at"`
	CreatedAt Time            `db:"created_at"`
}

const certificateColumns = `id, kind, key_id, der, not_before, not_after, revoked_at, created_at`

// InsertCertificate adds a certificate.
func (q Queries) InsertCertificate(ctx context.Context, c Certificate) error {
	return q.insert(ctx, "certificates", certificateColumns, c)
}

// Certificates lists the certificates of a kind, the one valid longest first.
func (q Queries) Certificates(ctx context.Context, kind CertificateKind) ([]Certificate, error) {
	var out []Certificate
	err := q.list(ctx, &out, `SELECT `+certificateColumns+` FROM certificates WHERE kind = $1 ORDER BY not_after DESC, id DESC`, string(kind))
	return out, err
}

// CRL is one certificate revocation list.
type CRL struct {
	Number     int64  `db:"number"`
	DER        []byte `db:"der"`
	ThisUpdate Time   `db:"this_update"`
	NextUpdate Time   `db:"next_update"`
}

// InsertCRL adds a list; a second one with the same number is ErrExists.
func (q Queries) InsertCRL(ctx context.Context, c CRL) error {
	return q.insert(ctx, "crls", "number, der, this_update, next_update", c)
}

// LatestCRL reads the newest list.
func (q Queries) LatestCRL(ctx context.Context) (CRL, error) {
	var c CRL
	err := q.get(ctx, &c, `SELECT number, der, this_update, next_update FROM crls ORDER BY number DESC LIMIT 1`)
	return c, err
}
