package issuer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/keys"
	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/pki"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/testenv"
)

// certificates gives the certificates of a kind.
func certificates(t *testing.T, s *store.Store, kind store.CertificateKind) []store.Certificate {
	t.Helper()
	rows, err := s.Certificates(t.Context(), kind)
	require.NoError(t, err)
	return rows
}

func counts(t *testing.T, s *store.Store) [3]int {
	t.Helper()
	return [3]int{len(certificates(t, s, store.CertificateIACA)), len(certificates(t, s, store.CertificateDS)),
		len(certificates(t, s, store.CertificateStatusSigner))}
}

func TestEnsureAuthority(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		require.Equal(t, [3]int{1, 1, 1}, counts(t, f.Store))
		head := f.AuditHead(t)
		for range 2 {
			require.NoError(t, f.Issuer.EnsureAuthority(ctx))
			require.NoError(t, issuer.New(f.Config, f.Deps).EnsureAuthority(ctx), "after a start")
		}
		require.Equal(t, [3]int{1, 1, 1}, counts(t, f.Store))
		require.Equal(t, head, f.AuditHead(t), "nothing to do, nothing done")

		ders, err := f.Issuer.Roots(ctx)
		require.NoError(t, err)
		root, err := x509.ParseCertificate(ders[0])
		require.NoError(t, err)
		require.Empty(t, pki.CheckIACA(root))
		signer, err := x509.ParseCertificate(certificates(t, f.Store, store.CertificateDS)[0].DER)
		require.NoError(t, err)
		require.Empty(t, pki.CheckDocumentSigner(signer, root, f.Clock.Now()))
		number := func() int64 {
			der, err := f.Issuer.RevocationList(ctx)
			require.NoError(t, err)
			crl, err := x509.ParseRevocationList(der)
			require.NoError(t, err)
			require.Empty(t, pki.CheckCRL(crl, root, f.Clock.Now()))
			return crl.Number.Int64()
		}
		require.EqualValues(t, 1, number())
		f.Clock.Advance(22 * 24 * time.Hour)
		require.NoError(t, f.Issuer.EnsureAuthority(ctx))
		require.EqualValues(t, 1, number(), "eight days are left")
		f.Clock.Advance(2 * 24 * time.Hour)
		require.NoError(t, f.Issuer.EnsureAuthority(ctx))
		require.EqualValues(t, 2, number())
	})
}

// Six processes start on an empty database: one root, one administrator.
func TestSeveralProcessesStartAtOnce(t *testing.T) {
	for _, backend := range []string{"sqlite", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			f := issuertest.New(t, issuertest.Options{})
			ctx := t.Context()
			dsn := "sqlite:" + filepath.Join(t.TempDir(), "empty.db")
			if backend == "postgres" {
				dsn = testenv.Postgres(t)
			}
			s, err := store.Open(ctx, dsn)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			_, err = s.Migrate(ctx)
			require.NoError(t, err)
			deps := f.Deps
			deps.Store = s
			made := make([]bool, 6)
			g, gctx := errgroup.WithContext(ctx)
			for i := range made {
				is := issuer.New(f.Config, deps)
				g.Go(func() (err error) {
					if err := is.EnsureAuthority(gctx); err != nil {
						return err
					}
					made[i], err = is.Bootstrap(gctx, "admin-"+string(rune('a'+i)), issuertest.AdminPassword)
					return err
				})
			}
			require.NoError(t, g.Wait())
			require.Len(t, certificates(t, s, store.CertificateIACA), 1)
			accounts, err := s.Accounts(ctx, store.Page{Limit: 10})
			require.NoError(t, err)
			require.Len(t, accounts, 1)
			n := 0
			for _, m := range made {
				if m {
					n++
				}
			}
			require.Equal(t, 1, n)
			root, err := x509.ParseCertificate(certificates(t, s, store.CertificateIACA)[0].DER)
			require.NoError(t, err)
			for _, row := range certificates(t, s, store.CertificateDS) {
				signer, err := x509.ParseCertificate(row.DER)
				require.NoError(t, err)
				require.NoError(t, signer.CheckSignatureFrom(root))
			}
			check, err := issuer.VerifyChain(ctx, s)
			require.NoError(t, err)
			require.True(t, check.Intact)
		})
	}
}

// signerOf gives the serial number of the certificate a document is signed with.
func signerOf(t *testing.T, signed []byte) *big.Int {
	t.Helper()
	parsed, err := mdoc.Parse(signed)
	require.NoError(t, err)
	return parsed.Chain[0].SerialNumber
}

// A signer that ends before the document would is followed by a fresh one; one that is long enough serves many documents.
func TestSignerRotation(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		person := f.Person(t)
		longest := f.Profile(t, "longest", func(o *domain.ProfileOptions) { o.LifetimeDays = 456 })
		usual := f.Profile(t, "usual")
		var signers []string
		next := func(p domain.Profile) {
			_, signed := issue(t, f, person, p, 1)
			require.True(t, verify(t, f, signed[0]).OK())
			if s := signerOf(t, signed[0]).String(); len(signers) == 0 || signers[len(signers)-1] != s {
				signers = append(signers, s)
			}
		}
		next(longest)
		for range 4 {
			f.Clock.Advance(6 * 24 * time.Hour)
			next(usual)
		}
		require.Len(t, signers, 1, "documents of the default lifetime do not each need a signer of their own")
		next(longest)
		require.Len(t, signers, 2, "the first one ends too early by now")
		for range 4 {
			f.Clock.Advance(6 * 24 * time.Hour)
			next(usual)
		}
		require.Len(t, signers, 2)
		f.Clock.Advance(10 * 24 * time.Hour)
		next(usual)
		require.Len(t, signers, 3)
		require.Equal(t, 3, counts(t, f.Store)[1])
	})
}

func TestLifetimeBeyondAnySigner(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		_, err := f.Issuer.CreateProfile(ctx, f.Admin(), "", issuer.SaveProfile{Name: "p",
			Options: domain.ProfileOptions{DisplayName: "P", Format: "iso-mdl", LifetimeDays: 457}})
		codeIs(t, domain.CodeLifetimeBeyondSigner, err)
		require.Equal(t, []string{"lifetime_days"}, fieldsOf(t, err))

		// The root ends in two months: what was asked for is refused, the default lifetime ends with the root.
		person := f.Person(t)
		asked := f.Profile(t, "asked", func(o *domain.ProfileOptions) { o.LifetimeDays = 100 })
		usual := f.Profile(t, "usual")
		root := certificates(t, f.Store, store.CertificateIACA)[0]
		f.Clock.Advance(root.NotAfter.Sub(f.Clock.Now()) - 60*24*time.Hour)
		require.NoError(t, f.Issuer.EnsureAuthority(ctx))
		_, err = f.Issuer.CreateRequest(ctx, f.Admin(), "", issuer.NewRequest{PersonID: person.ID, ProfileID: asked.ID})
		codeIs(t, domain.CodeLifetimeBeyondSigner, err)
		require.Equal(t, string(domain.DateOf(root.NotAfter.Time)), detail(t, err, "latest"))
		d, signed := issue(t, f, person, usual, 1)
		require.Equal(t, root.NotAfter.Time, d.ValidUntil)
		require.True(t, verify(t, f, signed[0]).OK())

		// And after its end there is another.
		f.Clock.Advance(61 * 24 * time.Hour)
		require.NoError(t, f.Issuer.EnsureAuthority(ctx))
		_, signed = issue(t, f, person, asked, 1)
		require.True(t, verify(t, f, signed[0]).OK())
	})
}

// A certificate in the table that breaks a rule of Annex B, is revoked, is over or is not from our root never signs, although it would last
// longest. The same certificate without the flaw does.
func TestUnfitSignersAreNeverUsed(t *testing.T) {
	keyUsage, extendedKeyUsage := asn1.ObjectIdentifier{2, 5, 29, 15}, asn1.ObjectIdentifier{2, 5, 29, 37}
	extension := func(c *x509.Certificate, id asn1.ObjectIdentifier) *pkix.Extension {
		return &c.ExtraExtensions[slices.IndexFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })]
	}
	remove := func(id asn1.ObjectIdentifier) func(c *x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })
		}
	}
	cases := map[string]struct {
		change   func(c *x509.Certificate)
		row      func(r *store.Certificate)
		stranger bool // signed by somebody with the name of our root
		used     bool
	}{
		"good":                       {used: true},
		"revoked":                    {row: func(r *store.Certificate) { r.RevokedAt = r.CreatedAt }},
		"over":                       {change: func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Minute) }},
		"no extended key usage":      {change: remove(extendedKeyUsage)},
		"extended use not critical":  {change: func(c *x509.Certificate) { extension(c, extendedKeyUsage).Critical = false }},
		"key usage not critical":     {change: func(c *x509.Certificate) { extension(c, keyUsage).Critical = false }},
		"signs certificates":         {change: func(c *x509.Certificate) { extension(c, keyUsage).Value = []byte{3, 2, 2, 0x84} }},
		"no issuer alternative name": {change: remove(asn1.ObjectIdentifier{2, 5, 29, 18})},
		"no revocation list":         {change: remove(asn1.ObjectIdentifier{2, 5, 29, 31})},
		"another country":            {change: func(c *x509.Certificate) { c.RawSubject, c.Subject.Country = nil, []string{"XX"} }},
		"longer than 457 days":       {change: func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(0, 0, 458) }},
		"not from our root":          {stranger: true},
	}
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		profile := f.Profile(t, "mdl", func(o *domain.ProfileOptions) { o.LifetimeDays = 400 })
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				ctx := t.Context()
				root := certificates(t, f.Store, store.CertificateIACA)[0]
				iaca, err := x509.ParseCertificate(root.DER)
				require.NoError(t, err)
				by, err := f.Deps.Keys.Open(ctx, root.KeyID)
				require.NoError(t, err)
				id := newID(t)
				key, err := f.Deps.Keys.Generate(ctx, id, elliptic.P256())
				require.NoError(t, err)
				now := f.Clock.Now()
				cert, err := pki.NewDocumentSigner(rand.Reader, iaca, by, key.Public(), pki.SignerOptions{CommonName: "another signer",
					Organization: "Test Authority", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(455 * 24 * time.Hour),
					CRLURL: f.Config.Authority.CRLURL})
				require.NoError(t, err)
				if c.change != nil || c.stranger {
					template := &x509.Certificate{SerialNumber: cert.SerialNumber, RawSubject: cert.RawSubject, Subject: cert.Subject,
						NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, ExtraExtensions: slices.Clone(cert.Extensions)}
					if c.change != nil {
						c.change(template)
					}
					if c.stranger {
						by, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
						require.NoError(t, err)
					}
					parent := &x509.Certificate{RawSubject: iaca.RawSubject, SubjectKeyId: iaca.SubjectKeyId, PublicKey: by.Public()}
					der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
					require.NoError(t, err)
					cert, err = x509.ParseCertificate(der)
					require.NoError(t, err)
				}
				row := store.Certificate{ID: id, Kind: store.CertificateDS, KeyID: id, DER: cert.Raw, NotBefore: store.At(cert.NotBefore),
					NotAfter: store.At(now.AddDate(3, 0, 0)), CreatedAt: store.At(now)} // the row claims that it lasts longest
				if c.row != nil {
					c.row(&row)
				}
				require.NoError(t, f.Store.InsertCertificate(ctx, row))
				f.Clock.Advance(16 * time.Second) // the list of signers is read again
				_, signed := issue(t, f, f.Person(t), profile, 1)
				require.Equal(t, c.used, cert.SerialNumber.Cmp(signerOf(t, signed[0])) == 0)
				require.True(t, verify(t, f, signed[0]).OK())
				_, err = rawSQL(t, f).ExecContext(ctx, `DELETE FROM certificates WHERE id = $1`, id)
				require.NoError(t, err)
			})
		}
	})
}

// A revoked signer is in the next revocation list and signs no more.
func TestRevokedSigner(t *testing.T) {
	eachBackend(t, func(t *testing.T, f *issuertest.Fixture) {
		ctx := t.Context()
		person, profile := f.Person(t), f.Profile(t, "mdl")
		_, signed := issue(t, f, person, profile, 1)
		serial := signerOf(t, signed[0])
		revokedAt, err := store.At(f.Clock.Now()).Value()
		require.NoError(t, err)
		_, err = rawSQL(t, f).ExecContext(ctx, `UPDATE certificates SET revoked_at = $1 WHERE kind = 'document_signer'`, revokedAt)
		require.NoError(t, err)
		f.Clock.Advance(16 * time.Second)
		_, signed = issue(t, f, person, profile, 1)
		require.NotEqual(t, serial, signerOf(t, signed[0]))
		f.Clock.Advance(25 * 24 * time.Hour)
		require.NoError(t, f.Issuer.EnsureAuthority(ctx))
		der, err := f.Issuer.RevocationList(ctx)
		require.NoError(t, err)
		crl, err := x509.ParseRevocationList(der)
		require.NoError(t, err)
		require.Len(t, crl.RevokedCertificateEntries, 1)
		require.Equal(t, serial, crl.RevokedCertificateEntries[0].SerialNumber)
	})
}

// lostKeys cannot open the keys that a test names.
type lostKeys struct {
	keys.Manager
	lost map[string]bool
}

func (l *lostKeys) Open(ctx context.Context, id string) (crypto.Signer, error) {
	if l.lost[id] {
		return nil, errors.New("the key file is broken")
	}
	return l.Manager.Open(ctx, id)
}

// One key that cannot be opened does not stop the others; but nothing is made in place of an IACA, or of signers that are all lost.
func TestLostKeys(t *testing.T) {
	ctx := t.Context()
	manager := &lostKeys{lost: map[string]bool{}}
	f := issuertest.New(t, issuertest.Options{Keys: func(m keys.Manager) keys.Manager {
		manager.Manager = m
		return manager
	}})
	person := f.Person(t)
	usual := f.Profile(t, "usual")
	longest := f.Profile(t, "longest", func(o *domain.ProfileOptions) { o.LifetimeDays = 456 })
	_, signed := issue(t, f, person, usual, 1)
	first := signerOf(t, signed[0])
	f.Clock.Advance(48 * time.Hour)
	_, signed = issue(t, f, person, longest, 1)
	second := signerOf(t, signed[0])
	require.NotEqual(t, first, second)
	signers, err := f.Store.Certificates(ctx, store.CertificateDS)
	require.NoError(t, err)
	require.Len(t, signers, 2)

	for _, c := range signers {
		if cert, err := x509.ParseCertificate(c.DER); err == nil && cert.SerialNumber.Cmp(second) == 0 {
			manager.lost[c.KeyID] = true
		}
	}
	f.Clock.Advance(time.Minute)
	_, signed = issue(t, f, person, usual, 1)
	require.Equal(t, first, signerOf(t, signed[0]))
	require.Contains(t, f.Logs.String(), "a signer is left out")

	for _, c := range signers {
		manager.lost[c.KeyID] = true
	}
	f.Clock.Advance(time.Minute)
	require.ErrorContains(t, f.Issuer.EnsureAuthority(ctx), "open key")
	roots, err := f.Store.Certificates(ctx, store.CertificateIACA)
	require.NoError(t, err)
	manager.lost = map[string]bool{roots[0].KeyID: true}
	require.ErrorContains(t, f.Issuer.EnsureAuthority(ctx), "open key")
	again, err := f.Store.Certificates(ctx, store.CertificateIACA)
	require.NoError(t, err)
	require.Len(t, again, 1)
}
