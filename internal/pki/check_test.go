package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/pki"
)

// mutation changes one thing about a good certificate, which then breaks exactly one rule.
type mutation struct {
	name   string
	rule   string // without the profile's prefix
	change func(t *testing.T, tbs *tbsCertificate)
}

// commonMutations break rules that every profile has.
func commonMutations() []mutation {
	set := func(edit func(tbs *tbsCertificate)) func(*testing.T, *tbsCertificate) {
		return func(_ *testing.T, tbs *tbsCertificate) { edit(tbs) }
	}
	list := []mutation{
		{"serial 0", "serial.positive", set(func(tbs *tbsCertificate) { tbs.SerialNumber = big.NewInt(0) })},
		{"serial of 21 octets", "serial.octets", set(func(tbs *tbsCertificate) { tbs.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 159) })},
		{"counted serial", "serial.random", set(func(tbs *tbsCertificate) { tbs.SerialNumber = big.NewInt(4711) })},
		{"SHA-1 signature", "signature.algorithm", set(func(tbs *tbsCertificate) { tbs.SignatureAlgorithm.Algorithm = ecdsaWithSHA1 })},
		{"no subject key id", "subject_key_id", set(func(tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extSubjectKeyID)
		})},
		{"subject key id of another hash", "subject_key_id.value", func(t *testing.T, tbs *tbsCertificate) {
			hash := sha256.Sum256(tbs.PublicKey.FullBytes)
			setValue(tbs.Extensions, extSubjectKeyID, encode(t, hash[:20]))
		}},
		{"no key usage", "key_usage", set(func(tbs *tbsCertificate) { tbs.Extensions = withoutExtension(tbs.Extensions, extKeyUsage) })},
		{"all key usages", "key_usage", set(func(tbs *tbsCertificate) { setValue(tbs.Extensions, extKeyUsage, []byte{3, 2, 0, 0xff}) })},
		{"key usage not critical", "key_usage.critical", set(func(tbs *tbsCertificate) { setCritical(tbs.Extensions, extKeyUsage, false) })},
		{"unknown critical extension", "extension.critical", set(func(tbs *tbsCertificate) {
			tbs.Extensions = append(tbs.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		})},
		{"critical private key usage period", "extension.critical", set(func(tbs *tbsCertificate) {
			tbs.Extensions = append(tbs.Extensions,
				pkix.Extension{Id: extensionID(extPrivateKeyUsePeriods), Critical: true, Value: []byte{0x30, 0}})
		})},
		{"critical alternative name", "extension.critical", set(func(tbs *tbsCertificate) {
			setCritical(tbs.Extensions, extIssuerAltName, true)
		})},
		{"CRL distribution point without URI", "crl_distribution_point", func(t *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extCRLDistribution, distributionPoint(t, 4, []byte{0x30, 0}))
		}},
		{"CRL distribution point with reasons", "crl_distribution_point.plain", func(t *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extCRLDistribution, distributionPoint(t, 6, []byte(crlURL),
				asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, Bytes: []byte{6, 0x40}}))
		}},
		{"CRL distribution point with cRLIssuer", "crl_distribution_point.plain", func(t *testing.T, tbs *tbsCertificate) {
			issuer := encode(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: tbs.Issuer.FullBytes})
			setValue(tbs.Extensions, extCRLDistribution, distributionPoint(t, 6, []byte(crlURL),
				asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: issuer}))
		}},
	}
	// The bodies are as crypto/x509 wants them; it reads name constraints and inhibit any policy.
	for arc, value := range map[int][]byte{
		extPolicyMappings:    {0x30, 0x08, 0x30, 0x06, 0x06, 0x01, 0x2a, 0x06, 0x01, 0x2b},
		extNameConstraints:   {0x30, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x82, 0x01, 'x'},
		extPolicyConstraints: {0x30, 0x03, 0x80, 0x01, 0x00},
		extInhibitAnyPolicy:  {0x02, 0x01, 0x00},
		extFreshestCRL:       {0x30, 0x00},
	} {
		for _, critical := range []bool{false, true} {
			list = append(list, mutation{"forbidden " + extensionID(arc).String(), "extension.forbidden", set(func(tbs *tbsCertificate) {
				tbs.Extensions = append(tbs.Extensions, pkix.Extension{Id: extensionID(arc), Critical: critical, Value: value})
			})})
		}
	}
	return list
}

// subjectMutations break the rules of the subject; a root's issuer has to follow.
func subjectMutations(selfSigned bool) []mutation {
	edit := func(name, rule string, arc int, change func(*asn1.RawValue) bool) mutation {
		return mutation{name, rule, func(t *testing.T, tbs *tbsCertificate) {
			editName(t, &tbs.Subject, arc, change)
			if selfSigned {
				tbs.Issuer = tbs.Subject
			}
		}}
	}
	return []mutation{
		edit("no country", "subject.country", nameCountry, remove),
		edit("lower-case country", "subject.country", nameCountry, setText("ut")),
		edit("three-letter country", "subject.country", nameCountry, setText("UTO")),
		edit("country as UTF8String", "subject.country.encoding", nameCountry, setTag(asn1.TagUTF8String)),
		edit("no common name", "subject.common_name", nameCN, remove),
		edit("common name as IA5String", "subject.encoding", nameCN, setTag(asn1.TagIA5String)),
	}
}

// issuedMutations break the rules of certificates that an IACA issues.
func issuedMutations() []mutation {
	return []mutation{
		{"P-224 key", "key.curve", func(t *testing.T, tbs *tbsCertificate) {
			setKey(t, tbs, &newKey(t, elliptic.P224()).PublicKey)
		}},
		{"RSA key", "key.curve", func(t *testing.T, tbs *tbsCertificate) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			require.NoError(t, err)
			setKey(t, tbs, &key.PublicKey)
		}},
		{"expired", "validity.expired", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Validity.NotBefore, tbs.Validity.NotAfter = start.Add(-10*day), start.Add(-time.Second)
		}},
		{"not yet valid", "validity.not_yet", func(_ *testing.T, tbs *tbsCertificate) { tbs.Validity.NotBefore = start.Add(time.Second) }},
		{"says CA", "basic_constraints", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = append(tbs.Extensions, pkix.Extension{Id: extensionID(extBasicConstraints), Value: []byte{0x30, 3, 1, 1, 0xff}})
		}},
		{"critical basic constraints", "extension.critical", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = append(tbs.Extensions,
				pkix.Extension{Id: extensionID(extBasicConstraints), Critical: true, Value: []byte{0x30, 0}})
		}},
		{"other issuer", "issuer", func(t *testing.T, tbs *tbsCertificate) { editName(t, &tbs.Issuer, nameCN, setText("Another")) }},
		{"no authority key id", "authority_key_id", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extAuthorityKeyID)
		}},
		{"other authority key id", "authority_key_id", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extAuthorityKeyID, []byte{0x30, 3, 0x80, 1, 7})
		}},
		{"other country", "subject.country.iaca", func(t *testing.T, tbs *tbsCertificate) {
			editName(t, &tbs.Subject, nameCountry, setText("XX"))
		}},
		{"no state", "subject.state", func(t *testing.T, tbs *tbsCertificate) { editName(t, &tbs.Subject, nameState, remove) }},
		{"other state", "subject.state", func(t *testing.T, tbs *tbsCertificate) { editName(t, &tbs.Subject, nameState, setText("UT-SO")) }},
	}
}

// authorityMutations break the rules of IACA root and link certificates.
func authorityMutations() []mutation {
	return []mutation{
		{"no basic constraints", "basic_constraints", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extBasicConstraints)
		}},
		{"not a CA", "basic_constraints", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extBasicConstraints, []byte{0x30, 0})
		}},
		{"no path length", "basic_constraints", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extBasicConstraints, []byte{0x30, 3, 1, 1, 0xff})
		}},
		{"path length 1", "basic_constraints", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extBasicConstraints, []byte{0x30, 6, 1, 1, 0xff, 2, 1, 1})
		}},
		{"basic constraints not critical", "basic_constraints.critical", func(_ *testing.T, tbs *tbsCertificate) {
			setCritical(tbs.Extensions, extBasicConstraints, false)
		}},
		{"backwards", "validity.order", func(_ *testing.T, tbs *tbsCertificate) { tbs.Validity.NotAfter = start.Add(-time.Second) }},
	}
}

// altNameMutations break the rule of the issuer alternative name.
func altNameMutations() []mutation {
	return []mutation{
		{"no alternative name", "issuer_alternative_name", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extIssuerAltName)
		}},
		{"alternative name of DNS", "issuer_alternative_name", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extIssuerAltName, []byte{0x30, 3, 0x82, 1, 'x'})
		}},
		{"alternative name not ASCII", "issuer_alternative_name", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extIssuerAltName, []byte{0x30, 3, 0x86, 1, 0xff})
		}},
		{"alternative name malformed", "issuer_alternative_name", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extIssuerAltName, []byte{1})
		}},
	}
}

func TestCheckIACANamesTheRule(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	mutations := append(commonMutations(), subjectMutations(true)...)
	mutations = append(mutations, authorityMutations()...)
	mutations = append(mutations, altNameMutations()...)
	mutations = append(mutations,
		mutation{"20 years and a second", "validity.limit", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Validity.NotAfter = start.AddDate(20, 0, 0).Add(time.Second)
		}},
		mutation{"issuer is not the subject", "issuer", func(t *testing.T, tbs *tbsCertificate) {
			editName(t, &tbs.Issuer, nameCN, setText("Another"))
		}},
		mutation{"document signer's key usage", "key_usage", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extKeyUsage, []byte{3, 2, 7, 0x80})
		}},
	)
	runMutations(t, "iaca.", mutations, iaca.cert, iaca.key, pki.CheckIACA)

	t.Run("P-224 key", func(t *testing.T) {
		key := newKey(t, elliptic.P224())
		cert, err := pki.ParseCertificate(reissue(t, iaca.cert, key, func(tbs *tbsCertificate) { setKey(t, tbs, &key.PublicKey) }))
		require.NoError(t, err)
		require.Equal(t, []string{"iaca.key.curve"}, rules(pki.CheckIACA(cert)))
	})
	t.Run("signed by another key", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, iaca.cert, newKey(t, elliptic.P256()), func(*tbsCertificate) {}))
		require.NoError(t, err)
		require.Equal(t, []string{"iaca.signature"}, rules(pki.CheckIACA(cert)))
	})
	t.Run("may last 20 years", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, iaca.cert, iaca.key, func(tbs *tbsCertificate) {
			tbs.Validity.NotAfter = start.AddDate(20, 0, 0)
		}))
		require.NoError(t, err)
		require.Empty(t, pki.CheckIACA(cert))
	})
	t.Run("may lack the CRL distribution point", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, iaca.cert, iaca.key, func(tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extCRLDistribution)
		}))
		require.NoError(t, err)
		require.Empty(t, pki.CheckIACA(cert))
	})
	t.Run("version 1", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, iaca.cert, iaca.key, func(tbs *tbsCertificate) { tbs.Version, tbs.Extensions = 0, nil }))
		require.NoError(t, err)
		require.Contains(t, rules(pki.CheckIACA(cert)), "iaca.version")
	})
	require.Equal(t, []string{"iaca.missing"}, rules(pki.CheckIACA(nil)))
}

func TestCheckDocumentSignerNamesTheRule(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	signer := newDocumentSigner(t, iaca)
	check := func(cert *x509.Certificate) []pki.Violation { return pki.CheckDocumentSigner(cert, iaca.cert, start) }
	mutations := append(commonMutations(), subjectMutations(false)...)
	mutations = append(mutations, issuedMutations()...)
	mutations = append(mutations, altNameMutations()...)
	mutations = append(mutations,
		mutation{"457 days and a second", "validity.limit", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Validity.NotAfter = start.Add(457*day + time.Second)
		}},
		mutation{"no CRL distribution point", "crl_distribution_point", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extCRLDistribution)
		}},
		mutation{"non-repudiation too", "key_usage", func(_ *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extKeyUsage, []byte{3, 2, 6, 0xc0})
		}},
		mutation{"no extended key usage", "extended_key_usage", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extExtendedKeyUsage)
		}},
		mutation{"second extended key usage", "extended_key_usage", func(t *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extExtendedKeyUsage, encode(t, []asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}, {1, 3, 6, 1, 5, 5, 7, 3, 1}}))
		}},
		mutation{"reader's extended key usage", "extended_key_usage", func(t *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extExtendedKeyUsage, encode(t, []asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 6}}))
		}},
		mutation{"extended key usage not critical", "extended_key_usage.critical", func(_ *testing.T, tbs *tbsCertificate) {
			setCritical(tbs.Extensions, extExtendedKeyUsage, false)
		}},
	)
	runMutations(t, "ds.", mutations, signer, iaca.key, check)

	t.Run("signed by another key", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, signer, newKey(t, elliptic.P256()), func(*tbsCertificate) {}))
		require.NoError(t, err)
		require.Equal(t, []string{"ds.signature"}, rules(check(cert)))
	})
	t.Run("outlasts the IACA", func(t *testing.T) {
		short, err := pki.ParseCertificate(reissue(t, iaca.cert, iaca.key, func(tbs *tbsCertificate) {
			tbs.Validity.NotAfter = signer.NotAfter.Add(-time.Second)
		}))
		require.NoError(t, err)
		require.Equal(t, []string{"ds.validity.iaca"}, rules(pki.CheckDocumentSigner(signer, short, start)))
	})
	t.Run("may last 457 days", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, signer, iaca.key, func(tbs *tbsCertificate) {
			tbs.Validity.NotAfter = start.Add(457 * day)
		}))
		require.NoError(t, err)
		require.Empty(t, check(cert))
		require.Empty(t, pki.CheckDocumentSigner(cert, iaca.cert, cert.NotAfter))
		require.Equal(t, []string{"ds.validity.expired"}, rules(pki.CheckDocumentSigner(cert, iaca.cert, cert.NotAfter.Add(time.Second))))
	})
	t.Run("may say it is no CA", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, signer, iaca.key, func(tbs *tbsCertificate) {
			tbs.Extensions = append(tbs.Extensions, pkix.Extension{Id: extensionID(extBasicConstraints), Value: []byte{0x30, 0}})
		}))
		require.NoError(t, err)
		require.Empty(t, check(cert))
	})
	t.Run("backwards", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, signer, iaca.key, func(tbs *tbsCertificate) {
			tbs.Validity.NotAfter = start.Add(-time.Second)
		}))
		require.NoError(t, err)
		require.Contains(t, rules(check(cert)), "ds.validity.order")
	})
	t.Run("every rule at once", func(t *testing.T) {
		root := pki.CheckDocumentSigner(iaca.cert, iaca.cert, start)
		require.Subset(t, rules(root), []string{
			"ds.key_usage", "ds.extended_key_usage", "ds.basic_constraints", "ds.validity.limit", "ds.authority_key_id", "ds.extension.critical",
		})
		for _, violation := range root {
			require.NotEmpty(t, violation.Text)
			require.Contains(t, violation.Clause, "ISO/IEC 18013-5 Annex B")
			require.Equal(t, violation.Rule+": "+violation.Text+" ("+violation.Clause+")", violation.String())
		}
	})
	require.Equal(t, []string{"ds.missing"}, rules(check(nil)))
	require.Equal(t, []string{"ds.issuer.missing"}, rules(pki.CheckDocumentSigner(signer, nil, start)))
	require.NotEmpty(t, pki.CheckDocumentSigner(&x509.Certificate{}, &x509.Certificate{}, start))
}

func TestCheckStatusListSignerNamesTheRule(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	signer := newStatusListSigner(t, iaca)
	check := func(cert *x509.Certificate) []pki.Violation { return pki.CheckStatusListSigner(cert, iaca.cert, start) }
	mutations := append(commonMutations(), subjectMutations(false)...)
	mutations = append(mutations, issuedMutations()...)
	mutations = append(mutations,
		mutation{"1187 days and a second", "validity.limit", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Validity.NotAfter = start.Add(1187*day + time.Second)
		}},
		mutation{"document signer's extended key usage", "extended_key_usage", func(t *testing.T, tbs *tbsCertificate) {
			setValue(tbs.Extensions, extExtendedKeyUsage, encode(t, []asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}}))
		}},
		mutation{"critical extended key usage", "extended_key_usage.critical", func(_ *testing.T, tbs *tbsCertificate) {
			setCritical(tbs.Extensions, extExtendedKeyUsage, true)
		}},
	)
	runMutations(t, "status.", mutations, signer, iaca.key, check)

	t.Run("may lack the extended key usage", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, signer, iaca.key, func(tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extExtendedKeyUsage)
		}))
		require.NoError(t, err)
		require.Empty(t, check(cert))
	})
	require.Equal(t, []string{"status.missing"}, rules(check(nil)))
}

func TestCheckLinkCertificateNamesTheRule(t *testing.T) {
	old, successor := newAuthority(t, elliptic.P256()), newAuthority(t, elliptic.P256())
	link, err := pki.NewLinkCertificate(rand.Reader, old.cert, old.key, successor.cert, start)
	require.NoError(t, err)
	check := func(cert *x509.Certificate) []pki.Violation {
		return pki.CheckLinkCertificate(cert, old.cert, successor.cert)
	}
	mutations := append(authorityMutations(), altNameMutations()...)
	mutations = append(mutations,
		mutation{"other issuer", "issuer", func(t *testing.T, tbs *tbsCertificate) { editName(t, &tbs.Issuer, nameCN, setText("Another")) }},
		mutation{"other subject", "subject", func(t *testing.T, tbs *tbsCertificate) { editName(t, &tbs.Subject, nameCN, setText("Another")) }},
		mutation{"other key", "key", func(t *testing.T, tbs *tbsCertificate) { setKey(t, tbs, &newKey(t, elliptic.P256()).PublicKey) }},
		mutation{"no authority key id", "authority_key_id", func(_ *testing.T, tbs *tbsCertificate) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extAuthorityKeyID)
		}},
	)
	runMutations(t, "link.", mutations, link, old.key, check)
	require.Equal(t, []string{"link.missing"}, rules(check(nil)))
}

func TestCheckCRLNamesTheRule(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	good := newCRL(t, iaca, pki.Revocation{SerialNumber: big.NewInt(99), At: start, Reason: 1})
	add := func(tbs *tbsRevocationList, arc int, critical bool, value ...byte) {
		tbs.Extensions = append(tbs.Extensions, pkix.Extension{Id: extensionID(arc), Critical: critical, Value: value})
	}
	tests := []struct {
		name   string
		rule   string
		change func(tbs *tbsRevocationList)
	}{
		{"no number", "crl.number", func(tbs *tbsRevocationList) { tbs.Extensions = withoutExtension(tbs.Extensions, extCRLNumber) }},
		{"negative number", "crl.number", func(tbs *tbsRevocationList) { setValue(tbs.Extensions, extCRLNumber, []byte{2, 1, 0xff}) }},
		{"delta", "crl.full", func(tbs *tbsRevocationList) { add(tbs, extDeltaCRL, true, 2, 1, 1) }},
		{"partial", "crl.full", func(tbs *tbsRevocationList) { add(tbs, extIssuingDistribution, true, 0x30, 0) }},
		{"critical number", "crl.extension.critical", func(tbs *tbsRevocationList) { setCritical(tbs.Extensions, extCRLNumber, true) }},
		{"critical entry extension", "crl.entry.extension.critical", func(tbs *tbsRevocationList) {
			tbs.Revoked[0].Extensions[0].Critical = true
		}},
		{"no authority key id", "crl.authority_key_id", func(tbs *tbsRevocationList) {
			tbs.Extensions = withoutExtension(tbs.Extensions, extAuthorityKeyID)
		}},
		{"other issuer", "crl.issuer", func(tbs *tbsRevocationList) { editName(t, &tbs.Issuer, nameCN, setText("Another")) }},
		{"SHA-1 signature", "crl.signature.algorithm", func(tbs *tbsRevocationList) { tbs.SignatureAlgorithm.Algorithm = ecdsaWithSHA1 }},
		{"no next update", "crl.next_update", func(tbs *tbsRevocationList) { tbs.NextUpdate = time.Time{} }},
		{"backwards", "crl.next_update.order", func(tbs *tbsRevocationList) { tbs.NextUpdate = start.Add(-time.Second) }},
		{"91 days", "crl.next_update.limit", func(tbs *tbsRevocationList) { tbs.NextUpdate = start.Add(91 * day) }},
		{"out of date", "crl.next_update.past", func(tbs *tbsRevocationList) {
			tbs.ThisUpdate, tbs.NextUpdate = start.Add(-day), start.Add(-time.Second)
		}},
		{"from the future", "crl.this_update", func(tbs *tbsRevocationList) { tbs.ThisUpdate = start.Add(time.Second) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			crl, err := pki.ParseCRL(reissueCRL(t, good, iaca.key, test.change))
			require.NoError(t, err)
			require.Equal(t, []string{test.rule}, rules(pki.CheckCRL(crl, iaca.cert, start)))
		})
	}
	t.Run("unchanged", func(t *testing.T) {
		crl, err := pki.ParseCRL(reissueCRL(t, good, iaca.key, func(*tbsRevocationList) {}))
		require.NoError(t, err)
		require.Empty(t, pki.CheckCRL(crl, iaca.cert, start))
	})
	t.Run("signed by another key", func(t *testing.T) {
		crl, err := pki.ParseCRL(reissueCRL(t, good, newKey(t, elliptic.P256()), func(*tbsRevocationList) {}))
		require.NoError(t, err)
		require.Equal(t, []string{"crl.signature"}, rules(pki.CheckCRL(crl, iaca.cert, start)))
	})
	require.Equal(t, []string{"crl.missing"}, rules(pki.CheckCRL(nil, iaca.cert, start)))
	require.Equal(t, []string{"crl.issuer.missing"}, rules(pki.CheckCRL(good, nil, start)))
}

func TestProfileErrorListsAll(t *testing.T) {
	options := iacaOptions()
	options.Validity = 25 * 365 * day
	_, err := pki.NewIACA(rand.Reader, newKey(t, elliptic.P256()), options)
	var profile *pki.ProfileError
	require.ErrorAs(t, err, &profile)
	for _, violation := range profile.Violations {
		require.True(t, strings.Contains(err.Error(), violation.String()))
	}
}

func runMutations(
	t *testing.T, prefix string, mutations []mutation, good *x509.Certificate, key *ecdsa.PrivateKey,
	check func(*x509.Certificate) []pki.Violation,
) {
	t.Helper()
	for _, test := range mutations {
		t.Run(test.name, func(t *testing.T) {
			cert, err := pki.ParseCertificate(reissue(t, good, key, func(tbs *tbsCertificate) { test.change(t, tbs) }))
			require.NoError(t, err)
			require.Equal(t, []string{prefix + test.rule}, rules(check(cert)))
		})
	}
	t.Run("unchanged", func(t *testing.T) {
		cert, err := pki.ParseCertificate(reissue(t, good, key, func(*tbsCertificate) {}))
		require.NoError(t, err)
		require.Empty(t, check(cert))
	})
}

// setKey puts another key, with its right key identifier, into a certificate.
func setKey(t *testing.T, tbs *tbsCertificate, public any) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	tbs.PublicKey = asn1.RawValue{FullBytes: der}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	_, err = asn1.Unmarshal(der, &info)
	require.NoError(t, err)
	hash := sha1.Sum(info.Key.Bytes)
	setValue(tbs.Extensions, extSubjectKeyID, encode(t, hash[:]))
}

// distributionPoint encodes one CRL distribution point with one general name and further fields.
func distributionPoint(t *testing.T, tag int, name []byte, fields ...asn1.RawValue) []byte {
	t.Helper()
	context := func(tag int, content []byte) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: content}
	}
	general := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: tag == 4, Bytes: name}
	fullName := encode(t, context(0, encode(t, general)))
	point := append([]asn1.RawValue{context(0, fullName)}, fields...)
	return encode(t, [][]asn1.RawValue{point})
}
