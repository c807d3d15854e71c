package pki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
)

// NewDocumentSignerCSR makes a PKCS #10 request by which an outside CA can issue a document signer certificate. It asks for
// the key usage, extended key usage and subject key identifier that the profile demands; the rest is the CA's to add.
func NewDocumentSignerCSR(random io.Reader, signer crypto.Signer, subject Subject) (*x509.CertificateRequest, error) {
	algorithm, err := keyAlgorithm(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	name, err := subject.name()
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	extensions, err := requestedExtensions(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	der, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{
		SignatureAlgorithm: algorithm,
		Subject:            name,
		ExtraExtensions:    extensions,
	}, signer)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: read signed request: %w", err)
	}
	return request, nil
}

func requestedExtensions(public crypto.PublicKey) ([]pkix.Extension, error) {
	// digitalSignature is bit 0; named bits leave trailing zeros out.
	keyUsage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x80}, BitLength: 1})
	if err != nil {
		return nil, fmt.Errorf("encode key usage: %w", err)
	}
	usage, err := extendedKeyUsage(oidDocumentSigner, true)
	if err != nil {
		return nil, err
	}
	keyInfo, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	id, err := keyID(keyInfo)
	if err != nil {
		return nil, err
	}
	subjectKeyID, err := asn1.Marshal(id)
	if err != nil {
		return nil, fmt.Errorf("encode subject key identifier: %w", err)
	}
	return []pkix.Extension{
		{Id: oidKeyUsage, Critical: true, Value: keyUsage},
		usage,
		{Id: oidSubjectKeyID, Value: subjectKeyID},
	}, nil
}
