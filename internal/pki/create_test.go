package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/pki"
)

var curves = []struct {
	curve     elliptic.Curve
	algorithm x509.SignatureAlgorithm
}{
	{elliptic.P256(), x509.ECDSAWithSHA256},
	{elliptic.P384(), x509.ECDSAWithSHA384},
	{elliptic.P521(), x509.ECDSAWithSHA512},
}

func TestNewIACA(t *testing.T) {
	for _, test := range curves {
		t.Run(test.curve.Params().Name, func(t *testing.T) {
			cert := newAuthority(t, test.curve).cert
			require.Empty(t, pki.CheckIACA(cert))
			require.Equal(t, 3, cert.Version)
			require.Equal(t, test.algorithm, cert.SignatureAlgorithm)
			require.Equal(t, start, cert.NotBefore)
			require.Equal(t, start.Add(9*365*day), cert.NotAfter)
			require.Equal(t, []string{crlURL}, cert.CRLDistributionPoints)
			require.Len(t, cert.SerialNumber.Bytes(), 20)
			require.Equal(t, cert.RawSubject, cert.RawIssuer)
			require.Empty(t, cert.AuthorityKeyId)
			require.Contains(t, string(cert.RawSubject), "\x13\x02UT", "country is a PrintableString")
			require.Equal(t, []extensionSummary{
				{extKeyUsage, true, "03020106"},                 // keyCertSign, cRLSign
				{extBasicConstraints, true, "30060101ff020100"}, // CA, path length 0
				{extSubjectKeyID, false, ""},
				{extCRLDistribution, false, ""},
				{extIssuerAltName, false, ""},
			}, summarize(t, cert))
			require.Contains(t, string(cert.Raw), "\x86"+string(rune(len(contact)))+contact, "URI as GeneralName [6]")
		})
	}
}

func TestNewDocumentSigner(t *testing.T) {
	for _, test := range curves {
		t.Run(test.curve.Params().Name, func(t *testing.T) {
			iaca := newAuthority(t, test.curve)
			key := newKey(t, test.curve)
			cert, err := pki.NewDocumentSigner(rand.Reader, iaca.cert, iaca.key, key.Public(), signerOptions())
			require.NoError(t, err)
			require.Empty(t, pki.CheckDocumentSigner(cert, iaca.cert, start))
			require.Equal(t, test.algorithm, cert.SignatureAlgorithm)
			require.True(t, key.PublicKey.Equal(cert.PublicKey))
			require.Equal(t, iaca.cert.RawSubject, cert.RawIssuer)
			require.Equal(t, []string{"UT"}, cert.Subject.Country)
			require.Equal(t, []string{"UT-NO"}, cert.Subject.Province)
			require.Equal(t, "Utopia signer 1", cert.Subject.CommonName)
			require.Equal(t, iaca.cert.SubjectKeyId, cert.AuthorityKeyId)
			require.Equal(t, []extensionSummary{
				{extKeyUsage, true, "03020780"}, // digitalSignature
				{extSubjectKeyID, false, ""},
				{extAuthorityKeyID, false, ""},
				{extCRLDistribution, false, ""},
				{extIssuerAltName, false, ""},
				{extExtendedKeyUsage, true, "3009060728818c5d050102"},
			}, summarize(t, cert))

			roots := x509.NewCertPool()
			roots.AddCert(iaca.cert)
			_, err = cert.Verify(x509.VerifyOptions{
				Roots: roots, CurrentTime: start.Add(day), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			})
			require.NoError(t, err)
		})
	}
}

func TestNewDocumentSignerUnderIACAWithoutState(t *testing.T) {
	options := iacaOptions()
	options.Subject.StateOrProvince = ""
	options.IssuerAltName = "iaca@utopia.example"
	key := newKey(t, elliptic.P256())
	iaca, err := pki.NewIACA(rand.Reader, key, options)
	require.NoError(t, err)
	require.Contains(t, string(iaca.Raw), "\x81\x13iaca@utopia.example", "e-mail as GeneralName [1]")

	signer := signerOptions()
	cert, err := pki.NewDocumentSigner(rand.Reader, iaca, key, newKey(t, elliptic.P256()).Public(), signer)
	require.NoError(t, err)
	require.Empty(t, cert.Subject.Province)

	signer.StateOrProvince = "UT-SO"
	signer.CRLURL = "http://other.example/crl"
	cert, err = pki.NewDocumentSigner(rand.Reader, iaca, key, newKey(t, elliptic.P256()).Public(), signer)
	require.NoError(t, err)
	require.Equal(t, []string{"UT-SO"}, cert.Subject.Province)
	require.Equal(t, []string{"http://other.example/crl"}, cert.CRLDistributionPoints)
}

func TestNewStatusListSigner(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	cert := newStatusListSigner(t, iaca)
	require.Empty(t, pki.CheckStatusListSigner(cert, iaca.cert, start))
	require.Equal(t, []extensionSummary{
		{extKeyUsage, true, "03020780"},
		{extSubjectKeyID, false, ""},
		{extAuthorityKeyID, false, ""},
		{extCRLDistribution, false, ""},
		{extIssuerAltName, false, ""},
		{extExtendedKeyUsage, false, "300a06082b0601050507031e"},
	}, summarize(t, cert))
}

func TestNewLinkCertificate(t *testing.T) {
	old := newAuthority(t, elliptic.P256())
	for name, options := range map[string]func(*pki.IACAOptions){
		"same name":  func(*pki.IACAOptions) {},
		"other name": func(o *pki.IACAOptions) { o.Subject.CommonName = "Utopia IACA 2" },
		"ends first": func(o *pki.IACAOptions) { o.Validity = 300 * day },
	} {
		t.Run(name, func(t *testing.T) {
			successorOptions := iacaOptions()
			successorOptions.NotBefore = start.Add(1000 * day)
			options(&successorOptions)
			key := newKey(t, elliptic.P384())
			successor, err := pki.NewIACA(rand.Reader, key, successorOptions)
			require.NoError(t, err)

			link, err := pki.NewLinkCertificate(rand.Reader, old.cert, old.key, successor, start.Add(1000*day))
			require.NoError(t, err)
			require.Empty(t, pki.CheckLinkCertificate(link, old.cert, successor))
			require.Equal(t, old.cert.SubjectKeyId, link.AuthorityKeyId)
			require.Equal(t, successor.SubjectKeyId, link.SubjectKeyId)
			require.False(t, link.NotAfter.After(old.cert.NotAfter))
			require.False(t, link.NotAfter.After(successor.NotAfter))
			require.NoError(t, link.CheckSignatureFrom(old.cert))

			require.NotEmpty(t, pki.CheckLinkCertificate(link, successor, old.cert))
			require.Contains(t, rules(pki.CheckLinkCertificate(link, old.cert, old.cert)), "link.key")
			require.Equal(t, []string{"link.successor.missing"}, rules(pki.CheckLinkCertificate(link, old.cert, nil)))
		})
	}
}

func TestNewCRL(t *testing.T) {
	iaca := newAuthority(t, elliptic.P384())
	signer := newDocumentSigner(t, iaca)
	crl := newCRL(t, iaca,
		pki.Revocation{SerialNumber: signer.SerialNumber, At: start, Reason: 1},
		pki.Revocation{SerialNumber: big.NewInt(99), At: start},
	)
	require.Empty(t, pki.CheckCRL(crl, iaca.cert, start))
	require.Equal(t, x509.ECDSAWithSHA384, crl.SignatureAlgorithm)
	require.NoError(t, crl.CheckSignatureFrom(iaca.cert))
	require.Equal(t, iaca.cert.SubjectKeyId, crl.AuthorityKeyId)
	require.EqualValues(t, 7, crl.Number.Int64())
	require.Len(t, crl.RevokedCertificateEntries, 2)
	require.Equal(t, 1, crl.RevokedCertificateEntries[0].ReasonCode)
	require.Equal(t, signer.SerialNumber, crl.RevokedCertificateEntries[0].SerialNumber)
	require.Empty(t, crl.RevokedCertificateEntries[1].Extensions, "reason 0 is left out")

	empty := newCRL(t, iaca)
	require.Empty(t, empty.RevokedCertificateEntries)
}

func TestNewDocumentSignerCSR(t *testing.T) {
	for _, test := range curves {
		t.Run(test.curve.Params().Name, func(t *testing.T) {
			key := newKey(t, test.curve)
			subject := pki.Subject{Country: "UT", Organization: "Utopia", CommonName: "Utopia signer é"}
			request, err := pki.NewDocumentSignerCSR(rand.Reader, key, subject)
			require.NoError(t, err)
			require.NoError(t, request.CheckSignature())
			require.Equal(t, test.algorithm, request.SignatureAlgorithm)
			require.Equal(t, "Utopia signer é", request.Subject.CommonName)
			require.True(t, key.PublicKey.Equal(request.PublicKey))
			require.Len(t, request.Extensions, 3)
			require.True(t, request.Extensions[0].Critical)
			require.Equal(t, []byte{0x03, 0x02, 0x07, 0x80}, request.Extensions[0].Value)
			require.True(t, request.Extensions[1].Critical)
			require.Contains(t, string(pki.EncodeCSR(request)), "-----BEGIN CERTIFICATE REQUEST-----")
		})
	}
	_, err := pki.NewDocumentSignerCSR(rand.Reader, newKey(t, elliptic.P224()), pki.Subject{Country: "UT", CommonName: "x"})
	require.ErrorContains(t, err, "P-256")
	_, err = pki.NewDocumentSignerCSR(rand.Reader, newKey(t, elliptic.P256()), pki.Subject{Country: "ut", CommonName: "x"})
	require.ErrorContains(t, err, "country")
}

func TestNewIACARefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*pki.IACAOptions)
		want   string
	}{
		{"no country", func(o *pki.IACAOptions) { o.Subject.Country = "" }, "country"},
		{"lower-case country", func(o *pki.IACAOptions) { o.Subject.Country = "ut" }, "country"},
		{"no common name", func(o *pki.IACAOptions) { o.Subject.CommonName = "" }, "common name"},
		{"control character", func(o *pki.IACAOptions) { o.Subject.Organization = "a\x00b" }, "organization"},
		{"long locality", func(o *pki.IACAOptions) { o.Subject.Locality = string(bytes.Repeat([]byte("l"), 129)) }, "locality"},
		{"no alternative name", func(o *pki.IACAOptions) { o.IssuerAltName = "" }, "alternative name"},
		{"alternative name no URI", func(o *pki.IACAOptions) { o.IssuerAltName = "utopia" }, "alternative name"},
		{"alternative name with display name", func(o *pki.IACAOptions) { o.IssuerAltName = "U <u@utopia.example>" }, "alternative name"},
		{"no CRL", func(o *pki.IACAOptions) { o.CRLURL = "" }, "CRL URL"},
		{"CRL by file", func(o *pki.IACAOptions) { o.CRLURL = "file://host/crl" }, "CRL URL"},
		{"no validity", func(o *pki.IACAOptions) { o.Validity = -time.Hour }, "iaca.validity.order"},
		{"too long", func(o *pki.IACAOptions) { o.Validity = 20*366*day + day }, "iaca.validity.limit"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			options := iacaOptions()
			test.change(&options)
			_, err := pki.NewIACA(rand.Reader, newKey(t, elliptic.P256()), options)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := pki.NewIACA(rand.Reader, newKey(t, elliptic.P224()), iacaOptions())
	require.ErrorContains(t, err, "P-256")
	_, err = pki.NewIACA(iotest.ErrReader(os.ErrDeadlineExceeded), newKey(t, elliptic.P256()), iacaOptions())
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestNewDocumentSignerRefuses(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	tests := []struct {
		name   string
		change func(*pki.SignerOptions)
		rule   string
	}{
		{"458 days", func(o *pki.SignerOptions) { o.NotAfter = o.NotBefore.Add(458 * day) }, "ds.validity.limit"},
		{"past the IACA", func(o *pki.SignerOptions) {
			o.NotBefore = iaca.cert.NotAfter.Add(-day)
			o.NotAfter = iaca.cert.NotAfter.Add(time.Second)
		}, "ds.validity.iaca"},
		{"other state", func(o *pki.SignerOptions) { o.StateOrProvince = "UT-SO" }, "ds.subject.state"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			options := signerOptions()
			test.change(&options)
			_, err := pki.NewDocumentSigner(rand.Reader, iaca.cert, iaca.key, newKey(t, elliptic.P256()).Public(), options)
			var profile *pki.ProfileError
			require.ErrorAs(t, err, &profile)
			require.Equal(t, []string{test.rule}, rules(profile.Violations))
		})
	}
	t.Run("key of another IACA", func(t *testing.T) {
		_, err := pki.NewDocumentSigner(rand.Reader, iaca.cert, newKey(t, elliptic.P256()), newKey(t, elliptic.P256()).Public(), signerOptions())
		require.Error(t, err)
	})
	t.Run("no IACA", func(t *testing.T) {
		_, err := pki.NewDocumentSigner(rand.Reader, nil, iaca.key, newKey(t, elliptic.P256()).Public(), signerOptions())
		require.ErrorContains(t, err, "missing")
	})
	t.Run("curve", func(t *testing.T) {
		_, err := pki.NewDocumentSigner(rand.Reader, iaca.cert, iaca.key, newKey(t, elliptic.P224()).Public(), signerOptions())
		require.ErrorContains(t, err, "P-256")
	})
	t.Run("CRL URL", func(t *testing.T) {
		options := signerOptions()
		options.CRLURL = "nowhere"
		_, err := pki.NewDocumentSigner(rand.Reader, iaca.cert, iaca.key, newKey(t, elliptic.P256()).Public(), options)
		require.ErrorContains(t, err, "CRL URL")
	})
}

func TestNewCRLRefuses(t *testing.T) {
	iaca := newAuthority(t, elliptic.P256())
	_, err := pki.NewCRL(rand.Reader, iaca.cert, iaca.key, pki.CRLOptions{
		Number: big.NewInt(1), ThisUpdate: start, NextUpdate: start.Add(90*day + time.Second),
	})
	var profile *pki.ProfileError
	require.ErrorAs(t, err, &profile)
	require.Equal(t, []string{"crl.next_update.limit"}, rules(profile.Violations))

	_, err = pki.NewCRL(rand.Reader, iaca.cert, iaca.key, pki.CRLOptions{ThisUpdate: start, NextUpdate: start.Add(day)})
	require.Error(t, err)
	_, err = pki.NewCRL(rand.Reader, nil, iaca.key, pki.CRLOptions{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: start.Add(day)})
	require.ErrorContains(t, err, "missing")
}

// TestOpenSSLAgrees lets a second implementation judge the chain where it is installed; crypto/x509 judges it in every case.
func TestOpenSSLAgrees(t *testing.T) {
	iaca := newAuthority(t, elliptic.P384())
	signer := newDocumentSigner(t, iaca)
	require.NoError(t, signer.CheckSignatureFrom(iaca.cert))
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		return
	}
	dir := t.TempDir()
	iacaFile, signerFile := filepath.Join(dir, "iaca.pem"), filepath.Join(dir, "ds.pem")
	require.NoError(t, os.WriteFile(iacaFile, pki.EncodeCertificate(iaca.cert), 0o600))
	require.NoError(t, os.WriteFile(signerFile, pki.EncodeCertificate(signer), 0o600))
	at := big.NewInt(start.Add(day).Unix()).String()
	run := func(arguments ...string) string {
		output, err := exec.CommandContext(t.Context(), openssl, arguments...).CombinedOutput()
		require.NoError(t, err, string(output))
		return string(output)
	}
	run("verify", "-x509_strict", "-attime", at, "-CAfile", iacaFile, iacaFile)
	run("verify", "-attime", at, "-CAfile", iacaFile, signerFile)
	text := run("x509", "-in", signerFile, "-noout", "-text")
	require.Contains(t, text, "X509v3 Extended Key Usage: critical")
	require.Contains(t, text, "ASN1 OID: prime256v1")
}

// extensionSummary is one extension: last arc of its id, criticality and, where fixed, the value in hexadecimal.
type extensionSummary struct {
	arc      int
	critical bool
	value    string
}

// summarize lists the extensions and checks the two key identifiers on the way.
func summarize(t *testing.T, cert *x509.Certificate) []extensionSummary {
	t.Helper()
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	require.True(t, ok)
	point, err := key.Bytes()
	require.NoError(t, err)
	require.EqualValues(t, 4, point[0])
	hash := sha1.Sum(point)
	require.Equal(t, hash[:], cert.SubjectKeyId)

	var list []extensionSummary
	for _, extension := range cert.Extensions {
		arc := extension.Id[len(extension.Id)-1]
		require.Equal(t, asn1.ObjectIdentifier{2, 5, 29, arc}, extension.Id)
		summary := extensionSummary{arc: arc, critical: extension.Critical}
		switch arc {
		case extKeyUsage, extBasicConstraints, extExtendedKeyUsage:
			summary.value = new(big.Int).SetBytes(extension.Value).Text(16)
			if len(summary.value)%2 == 1 {
				summary.value = "0" + summary.value
			}
		default:
		}
		list = append(list, summary)
	}
	return list
}
