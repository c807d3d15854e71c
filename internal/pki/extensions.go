package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha1" //nolint:gosec // Annex B: the key identifier is a SHA-1 hash; it is a name, not a protection
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
)

// Tags of GeneralName (RFC 5280, 4.2.1.6).
const (
	tagEmail = 1
	tagURI   = 6
)

// keyAlgorithm returns the signature algorithm that goes with a key's curve.
func keyAlgorithm(public any) (x509.SignatureAlgorithm, error) {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key == nil {
		return 0, errors.New("the key is not an ECDSA key")
	}
	switch key.Curve {
	case elliptic.P256():
		return x509.ECDSAWithSHA256, nil
	case elliptic.P384():
		return x509.ECDSAWithSHA384, nil
	case elliptic.P521():
		return x509.ECDSAWithSHA512, nil
	default:
		return 0, errors.New("the key's curve is not P-256, P-384 or P-521")
	}
}

// keyID is the subject key identifier of Annex B: SHA-1 of the subjectPublicKey bits. crypto/x509 would use another hash.
func keyID(subjectPublicKeyInfo []byte) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(subjectPublicKeyInfo, &info); err != nil || len(rest) > 0 {
		return nil, errors.New("malformed subject public key")
	}
	hash := sha1.Sum(info.Key.RightAlign()) //nolint:gosec // see the import
	return hash[:], nil
}

// extendedKeyUsage encodes an extended key usage of a single purpose.
func extendedKeyUsage(oid asn1.ObjectIdentifier, critical bool) (pkix.Extension, error) {
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{oid})
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("encode extended key usage: %w", err)
	}
	return pkix.Extension{Id: oidExtendedKeyUsage, Critical: critical, Value: value}, nil
}

// issuerAltName encodes an e-mail address or a URI as issuer alternative name.
func issuerAltName(contact string) (pkix.Extension, error) {
	name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(contact)}
	if address, err := mail.ParseAddress(contact); err == nil && address.Address == contact && isASCII(contact) {
		name.Tag = tagEmail
	} else if !isURI(contact) {
		return pkix.Extension{}, errors.New("issuer alternative name must be an e-mail address or an absolute URI")
	}
	value, err := asn1.Marshal([]asn1.RawValue{name})
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("encode issuer alternative name: %w", err)
	}
	return pkix.Extension{Id: oidIssuerAltName, Value: value}, nil
}

// isURI accepts absolute URIs with a host in the characters an IA5String may hold.
func isURI(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Scheme != "" && parsed.Host != "" && isASCII(text)
}

// isWebURL accepts what a verifier can fetch a CRL from.
func isWebURL(text string) bool {
	return isURI(text) && (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://"))
}

func isASCII(text string) bool {
	for _, r := range text {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

// findExtension returns nil if there is no such extension.
func findExtension(extensions []pkix.Extension, oid asn1.ObjectIdentifier) *pkix.Extension {
	for i := range extensions {
		if extensions[i].Id.Equal(oid) {
			return &extensions[i]
		}
	}
	return nil
}

// namesContact reports whether an issuer alternative name holds an e-mail address or a URI.
func namesContact(value []byte) bool {
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(value, &names); err != nil || len(rest) > 0 {
		return false
	}
	for _, name := range names {
		if isText(name, tagEmail) || isText(name, tagURI) {
			return true
		}
	}
	return false
}

// isText reports whether a general name is of the given kind and holds an IA5String.
func isText(name asn1.RawValue, tag int) bool {
	return name.Class == asn1.ClassContextSpecific && name.Tag == tag && len(name.Bytes) > 0 && isASCII(string(name.Bytes))
}

// distributionPoints reports whether every point of a CRL distribution points extension names a URI, and whether all do
// without the fields reasons and cRLIssuer (RFC 5280, 4.2.1.13). crypto/x509 shows neither.
func distributionPoints(value []byte) (uris, plain bool) {
	var points [][]asn1.RawValue
	if rest, err := asn1.Unmarshal(value, &points); err != nil || len(rest) > 0 || len(points) == 0 {
		return false, true
	}
	uris, plain = true, true
	for _, point := range points {
		named := false
		for _, field := range point {
			if field.Class == asn1.ClassContextSpecific && field.Tag == 0 {
				named = fullNameHasURI(field.Bytes)
			} else {
				plain = false
			}
		}
		uris = uris && named
	}
	return uris, plain
}

func fullNameHasURI(pointName []byte) bool {
	var fullName asn1.RawValue
	if rest, err := asn1.Unmarshal(pointName, &fullName); err != nil || len(rest) > 0 {
		return false
	}
	if fullName.Class != asn1.ClassContextSpecific || fullName.Tag != 0 {
		return false
	}
	for names := fullName.Bytes; len(names) > 0; {
		var name asn1.RawValue
		rest, err := asn1.Unmarshal(names, &name)
		if err != nil {
			return false
		}
		if isText(name, tagURI) {
			return true
		}
		names = rest
	}
	return false
}
