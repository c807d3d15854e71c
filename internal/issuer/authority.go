package issuer

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/pki"
	"github.com/mdocket/mdocket/internal/store"
)

// AuthorityConfig describes the built-in certification authority (H2).
type AuthorityConfig struct {
	Country      string // ISO 3166-1 alpha-2
	State        string // ISO 3166-2 name as in certificates; empty = none
	Organization string
	CommonName   string
	Contact      string // e-mail address or URI for the issuer alternative name
	CRLURL       string
}

const (
	iacaValidity   = 9 * 365 * 24 * time.Hour
	signerValidity = 457 * 24 * time.Hour // the most Annex B allows a document signer
	statusValidity = 1187 * 24 * time.Hour
	backdate       = time.Hour // certificates start a little early, for clocks that are behind
	crlValidity    = 30 * 24 * time.Hour
	crlRenewal     = 7 * 24 * time.Hour // a new list when the old one has less than this left
	signersKept    = 15 * time.Second   // how long the list of signers is trusted before SQL is asked again

	// signerUse is how long one signer serves documents of the default lifetime, which last as long as signers allow.
	signerUse = 30 * 24 * time.Hour
)

// authority keeps the certificates and keys in use: the IACA, document signers and the signer of status lists.
type authority struct {
	cfg   AuthorityConfig
	store *store.Store
	keys  keys.Manager
	rand  io.Reader
	now   func() time.Time
	log   *slog.Logger

	mu      sync.Mutex
	root    signer   // cached
	signers []signer // cached; longest valid first
	readAt  time.Time
}

// signer is one certificate with its key.
type signer struct {
	id   string
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(cfg AuthorityConfig, d Deps) *authority {
	return &authority{cfg: cfg, store: d.Store, keys: d.Keys, rand: d.Rand, now: d.Now, log: d.Log}
}

// maxLifetimeDays is the longest lifetime that a fresh document signer certificate can cover, in whole days.
func (a *authority) maxLifetimeDays() int { return int((signerValidity - backdate) / (24 * time.Hour)) }

// usualLifetimeDays is the longest lifetime that every document signer in use covers, in whole days: that of documents without one of their own.
func (a *authority) usualLifetimeDays() int {
	return int((signerValidity - backdate - signerUse) / (24 * time.Hour))
}

// limits gives the latest end of validity that a document signed now can have: a fresh signer's, within the IACA's; and the usual one, which a
// signer of up to signerUse covers too, so that not every document needs a signer of its own.
func (a *authority) limits(ctx context.Context) (latest, usual time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.refresh(ctx); err != nil {
		return time.Time{}, time.Time{}, err
	}
	now, end := a.now(), a.root.cert.NotAfter
	return earlierOf(now.Add(signerValidity-backdate), end), earlierOf(now.Add(signerValidity-backdate-signerUse), end), nil
}

// EnsureAuthority makes what is missing: IACA, document signer, signer of status lists, revocation list. It is called at every start and by the
// schedule, by several processes at once, and does nothing when all is there.
func (is *Issuer) EnsureAuthority(ctx context.Context) error {
	a := is.authority
	iaca, err := a.iaca(ctx)
	if errors.Is(err, store.ErrNotFound) {
		iaca, err = a.makeIACA(ctx, is)
		if errors.Is(err, store.ErrExists) {
			iaca, err = a.iaca(ctx) // another process was first
		}
	}
	if err != nil {
		return err
	}
	if _, err := a.documentSigner(ctx, is, a.now()); err != nil {
		return err
	}
	if _, err := a.statusSigner(ctx, is); err != nil {
		return err
	}
	return a.ensureCRL(ctx, is, iaca)
}

// makeIACA makes the root; store.ErrExists when another process has made one.
func (a *authority) makeIACA(ctx context.Context, is *Issuer) (signer, error) {
	return a.make(ctx, is, store.CertificateIACA, a.noIACA, func(key crypto.Signer) (*x509.Certificate, error) {
		return pki.NewIACA(a.rand, key, pki.IACAOptions{
			Subject: pki.Subject{Country: a.cfg.Country, StateOrProvince: a.cfg.State, Organization: a.cfg.Organization,
				CommonName: a.cfg.CommonName},
			IssuerAltName: a.cfg.Contact, CRLURL: a.cfg.CRLURL, NotBefore: a.now().Add(-backdate), Validity: iacaValidity,
		})
	})
}

// noIACA holds the audit, so that roots are made one after the other, and refuses one more.
func (a *authority) noIACA(ctx context.Context, tx *store.Tx) error {
	if err := tx.HoldAudit(ctx); err != nil {
		return fmt.Errorf("wait for other processes: %w", err)
	}
	rows, err := tx.Certificates(ctx, store.CertificateIACA)
	if err != nil {
		return fmt.Errorf("load IACA: %w", err)
	}
	if slices.ContainsFunc(rows, a.usable) {
		return fmt.Errorf("make IACA: %w", store.ErrExists)
	}
	return nil
}

// anyNumber lets any number of certificates be.
func anyNumber(context.Context, *store.Tx) error { return nil }

// make generates a key, has the certificate made for it and records both, if guard allows it in the transaction.
func (a *authority) make(ctx context.Context, is *Issuer, kind store.CertificateKind, guard func(context.Context, *store.Tx) error,
	certify func(key crypto.Signer) (*x509.Certificate, error)) (signer, error) {
	id := newID()
	key, err := a.keys.Generate(ctx, id, elliptic.P256())
	if err != nil {
		return signer{}, fmt.Errorf("generate key of %s: %w", kind, err)
	}
	cert, err := certify(key)
	if err != nil {
		return signer{}, fmt.Errorf("certify %s: %w", kind, err)
	}
	err = a.store.Tx(ctx, func(tx *store.Tx) error {
		if err := guard(ctx, tx); err != nil {
			return err
		}
		err := tx.InsertCertificate(ctx, store.Certificate{ID: id, Kind: kind, KeyID: id, DER: cert.Raw, NotBefore: store.At(cert.NotBefore),
			NotAfter: store.At(cert.NotAfter), CreatedAt: store.At(a.now())})
		if err != nil {
			return fmt.Errorf("store certificate: %w", err)
		}
		e := is.entry(domain.System(), "certificate.create", id)
		e.Changes = map[string]domain.Change{"kind": {After: string(kind)}}
		return tx.AppendAudit(ctx, e)
	})
	if err != nil {
		return signer{}, err
	}
	return signer{id: id, cert: cert, key: key}, nil
}

// iaca gives the IACA valid longest; store.ErrNotFound when there is none.
func (a *authority) iaca(ctx context.Context) (signer, error) {
	all, err := a.load(ctx, store.CertificateIACA)
	if err != nil {
		return signer{}, err
	}
	if len(all) == 0 {
		return signer{}, fmt.Errorf("load IACA: %w", store.ErrNotFound)
	}
	return all[0], nil
}

// usable: in force and not revoked.
func (a *authority) usable(c store.Certificate) bool {
	now := a.now()
	return c.RevokedAt.IsZero() && !now.Before(c.NotBefore.Time) && now.Before(c.NotAfter.Time)
}

// load reads the usable certificates of a kind, longest valid first. A signer whose key cannot be opened is left out as long as there is another
// one: one broken file does not stop all signing. An IACA is never left out, or a second one would be made.
func (a *authority) load(ctx context.Context, kind store.CertificateKind) ([]signer, error) {
	rows, err := a.store.Certificates(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	var out []signer
	var broken error
	for _, r := range rows {
		if !a.usable(r) {
			continue
		}
		cert, err := x509.ParseCertificate(r.DER)
		if err != nil {
			return nil, fmt.Errorf("parse certificate %s: %w", r.ID, err)
		}
		key, err := a.keys.Open(ctx, r.KeyID)
		if err != nil {
			broken = fmt.Errorf("open key of certificate %s: %w", r.ID, err)
			if kind == store.CertificateIACA {
				return nil, broken
			}
			a.log.ErrorContext(ctx, "a signer is left out", "certificate_id", r.ID, "error", broken)
			continue
		}
		out = append(out, signer{id: r.ID, cert: cert, key: key})
	}
	if len(out) == 0 && broken != nil {
		return nil, broken
	}
	return out, nil
}

// documentSigner gives a signer that is valid now and until the instant, and keeps every rule of ISO/IEC 18013-5 Annex B; it makes a fresh one
// when the present ones end too early. CodeLifetimeBeyondSigner when no signer can last that long.
func (a *authority) documentSigner(ctx context.Context, is *Issuer, until time.Time) (signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.refresh(ctx); err != nil {
		return signer{}, err
	}
	now, iaca := a.now(), a.root
	for _, s := range a.signers {
		if !s.cert.NotAfter.Before(until) && now.Before(s.cert.NotAfter) {
			return s, nil
		}
	}
	end := earlierOf(now.Add(signerValidity-backdate), iaca.cert.NotAfter)
	if until.After(end) {
		return signer{}, domain.Errorf(domain.CodeLifetimeBeyondSigner, "no document signer certificate lasts that long").
			With("latest", string(domain.DateOf(end)))
	}
	fresh, err := a.make(ctx, is, store.CertificateDS, anyNumber, func(key crypto.Signer) (*x509.Certificate, error) {
		return pki.NewDocumentSigner(a.rand, iaca.cert, iaca.key, key.Public(), pki.SignerOptions{
			CommonName: a.cfg.CommonName + " document signer", StateOrProvince: a.cfg.State, Organization: a.cfg.Organization,
			NotBefore: laterOf(now.Add(-backdate), iaca.cert.NotBefore), NotAfter: end, CRLURL: a.cfg.CRLURL,
		})
	})
	if err != nil {
		return signer{}, err
	}
	a.signers = append([]signer{fresh}, a.signers...)
	return fresh, nil
}

// refresh reads the IACA and the document signers again when what is cached is old; a signer that breaks a rule of Annex B is left out. The
// caller holds the lock.
func (a *authority) refresh(ctx context.Context) error {
	if a.signers != nil && a.now().Sub(a.readAt) < signersKept {
		return nil
	}
	root, err := a.iaca(ctx)
	if err != nil {
		return err
	}
	all, err := a.load(ctx, store.CertificateDS)
	if err != nil {
		return err
	}
	kept := make([]signer, 0, len(all))
	for _, s := range all {
		if len(pki.CheckDocumentSigner(s.cert, root.cert, a.now())) == 0 {
			kept = append(kept, s)
		}
	}
	a.root, a.signers, a.readAt = root, kept, a.now()
	return nil
}

// statusSigner gives the signer of status lists; it makes a fresh one when the present one has less than a month left.
func (a *authority) statusSigner(ctx context.Context, is *Issuer) (signer, error) {
	all, err := a.load(ctx, store.CertificateStatusSigner)
	if err != nil {
		return signer{}, err
	}
	now := a.now()
	if len(all) > 0 && all[0].cert.NotAfter.After(now.AddDate(0, 1, 0)) {
		return all[0], nil
	}
	iaca, err := a.iaca(ctx)
	if err != nil {
		return signer{}, err
	}
	end := earlierOf(now.Add(statusValidity-backdate), iaca.cert.NotAfter)
	return a.make(ctx, is, store.CertificateStatusSigner, anyNumber, func(key crypto.Signer) (*x509.Certificate, error) {
		return pki.NewStatusListSigner(a.rand, iaca.cert, iaca.key, key.Public(), pki.SignerOptions{
			CommonName: a.cfg.CommonName + " status list signer", StateOrProvince: a.cfg.State, Organization: a.cfg.Organization,
			NotBefore: laterOf(now.Add(-backdate), iaca.cert.NotBefore), NotAfter: end, CRLURL: a.cfg.CRLURL,
		})
	})
}

// ensureCRL publishes a revocation list when there is none or it ends soon.
func (a *authority) ensureCRL(ctx context.Context, is *Issuer, iaca signer) error {
	now, number := a.now(), int64(1)
	last, err := a.store.LatestCRL(ctx)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return fmt.Errorf("load revocation list: %w", err)
	case last.NextUpdate.After(now.Add(crlRenewal)):
		return nil
	default:
		number = last.Number + 1
	}
	revoked, err := a.revoked(ctx)
	if err != nil {
		return err
	}
	crl, err := pki.NewCRL(a.rand, iaca.cert, iaca.key, pki.CRLOptions{Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.Add(crlValidity),
		Revoked: revoked})
	if err != nil {
		return fmt.Errorf("make revocation list: %w", err)
	}
	err = a.store.Tx(ctx, func(tx *store.Tx) error {
		err := tx.InsertCRL(ctx, store.CRL{Number: number, DER: crl.Raw, ThisUpdate: store.At(now), NextUpdate: store.At(now.Add(crlValidity))})
		if err != nil {
			return err
		}
		return tx.AppendAudit(ctx, is.entry(domain.System(), "crl.publish", fmt.Sprint(number)))
	})
	if errors.Is(err, store.ErrExists) {
		return nil // another process was first
	}
	if err != nil {
		return fmt.Errorf("store revocation list: %w", err)
	}
	return nil
}

func (a *authority) revoked(ctx context.Context) ([]pki.Revocation, error) {
	var out []pki.Revocation
	for _, kind := range []store.CertificateKind{store.CertificateDS, store.CertificateStatusSigner} {
		rows, err := a.store.Certificates(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("load certificates: %w", err)
		}
		for _, r := range rows {
			if r.RevokedAt.IsZero() {
				continue
			}
			cert, err := x509.ParseCertificate(r.DER)
			if err != nil {
				return nil, fmt.Errorf("parse certificate %s: %w", r.ID, err)
			}
			out = append(out, pki.Revocation{SerialNumber: cert.SerialNumber, At: r.RevokedAt.Time})
		}
	}
	return out, nil
}

// signing gives what the mdoc package wants.
func (s signer) signing() mdoc.Signer {
	return mdoc.Signer{Key: s.key, Chain: []*x509.Certificate{s.cert}}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Roots gives the DER certificates of every IACA, for verifiers (H2).
func (is *Issuer) Roots(ctx context.Context) ([][]byte, error) {
	rows, err := is.Store.Certificates(ctx, store.CertificateIACA)
	if err != nil {
		return nil, fmt.Errorf("load IACA: %w", err)
	}
	out := make([][]byte, len(rows))
	for i, r := range rows {
		out[i] = r.DER
	}
	return out, nil
}

// RevocationList gives the newest CRL in DER.
func (is *Issuer) RevocationList(ctx context.Context) ([]byte, error) {
	crl, err := is.Store.LatestCRL(ctx)
	return crl.DER, found(err, "revocation list")
}
