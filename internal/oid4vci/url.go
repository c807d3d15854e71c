package oid4vci

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// ErrUnsafeURL marks an address that the protocol does not allow. The text of the error never repeats the address,
// which may carry a code.
var ErrUnsafeURL = errors.New("address not allowed")

// maxURL bounds an address, in bytes.
const maxURL = 2048

// CheckURL accepts an absolute https address with a host, without user information and fragment. Plain http is accepted
// for loopback hosts only (localhost, 127.0.0.0/8, ::1), where development servers run. Errors are ErrUnsafeURL.
func CheckURL(address string) error {
	_, err := parseURL(address)
	return err
}

// CheckIssuerIdentifier accepts what CheckURL accepts if it has no query either (Credential Issuer Identifier).
func CheckIssuerIdentifier(identifier string) error {
	_, err := parseIdentifier(identifier)
	return err
}

// IssuerMetadataURL is where the metadata of a credential issuer is published: the well-known string is inserted
// before the path of its identifier (Credential Issuer Metadata Retrieval).
func IssuerMetadataURL(credentialIssuer string) (string, error) {
	return wellKnown(credentialIssuer, "openid-credential-issuer")
}

// AuthorizationServerMetadataURL is where the metadata of an authorization server is published (RFC 8414, 3.1).
func AuthorizationServerMetadataURL(issuer string) (string, error) {
	return wellKnown(issuer, "oauth-authorization-server")
}

func wellKnown(identifier, suffix string) (string, error) {
	u, err := parseIdentifier(identifier)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host + "/.well-known/" + suffix + strings.TrimSuffix(u.EscapedPath(), "/"), nil
}

func parseIdentifier(identifier string) (*url.URL, error) {
	u, err := parseURL(identifier)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return nil, fmt.Errorf("%w: an issuer identifier has no query", ErrUnsafeURL)
	}
	return u, nil
}

func parseURL(address string) (*url.URL, error) {
	if len(address) > maxURL {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrUnsafeURL, maxURL)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, fmt.Errorf("%w: not an absolute address", ErrUnsafeURL)
	case u.User != nil:
		return nil, fmt.Errorf("%w: user information", ErrUnsafeURL)
	case strings.Contains(address, "#"):
		return nil, fmt.Errorf("%w: fragment", ErrUnsafeURL)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	default:
		return nil, fmt.Errorf("%w: not https", ErrUnsafeURL)
	}
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
