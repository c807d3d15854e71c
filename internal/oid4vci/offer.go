package oid4vci

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Media types of the protocol's messages.
const (
	ContentTypeJSON = "application/json"
	ContentTypeForm = "application/x-www-form-urlencoded"
	ContentTypeJWT  = "application/jwt" // encrypted requests and responses, signed metadata
)

// Grant types.
const (
	GrantPreAuthorizedCode = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
)

// Values of TxCode.InputMode.
const (
	InputModeNumeric = "numeric"
	InputModeText    = "text"
)

// OfferScheme is the scheme of links that invoke a wallet (Client Metadata Retrieval).
const OfferScheme = "openid-credential-offer"

// haipScheme invokes wallets in the same way (OpenID4VC High Assurance Interoperability Profile 1.0).
const haipScheme = "haip-vci"

// Names of the query parameter that carries the offer.
const (
	paramOffer    = "credential_offer"
	paramOfferURI = "credential_offer_uri"
)

// CredentialOffer is the Credential Offer object.
type CredentialOffer struct {
	CredentialIssuer           string      `json:"credential_issuer"`
	CredentialConfigurationIDs []string    `json:"credential_configuration_ids"`
	Grants                     OfferGrants `json:"grants,omitzero"`
}

// OfferGrants are the grants of an offer; nil where the offer does not name the grant.
type OfferGrants struct {
	PreAuthorizedCode *PreAuthorizedCodeGrant `json:"urn:ietf:params:oauth:grant-type:pre-authorized_code,omitempty"`
	AuthorizationCode *AuthorizationCodeGrant `json:"authorization_code,omitempty"`
}

// PreAuthorizedCodeGrant carries the code of a pre-authorized offer. TxCode is nil when no transaction code is asked for;
// an empty object asks for one.
type PreAuthorizedCodeGrant struct {
	PreAuthorizedCode   string  `json:"pre-authorized_code"`
	TxCode              *TxCode `json:"tx_code,omitempty"`
	AuthorizationServer string  `json:"authorization_server,omitempty"`
}

// TxCode describes the transaction code the holder has to enter: InputMode numeric (the default) or text, its Length in
// characters (0: not said), a Description of at most 300 characters.
type TxCode struct {
	InputMode   string `json:"input_mode,omitempty"`
	Length      int    `json:"length,omitempty"`
	Description string `json:"description,omitempty"`
}

// AuthorizationCodeGrant carries the state of an issuer-initiated authorization code flow.
type AuthorizationCodeGrant struct {
	IssuerState         string `json:"issuer_state,omitempty"`
	AuthorizationServer string `json:"authorization_server,omitempty"`
}

// ErrNoOffer is returned by ParseOfferLink for a good https address that carries no offer parameter. It may still be the
// address of an offer object or of a page with a link in it.
var ErrNoOffer = errors.New("link carries no credential offer")

// maxLink bounds a link by value, in bytes. Links in QR codes are far shorter.
const maxLink = 16 << 10

// OfferLink is what a link to a wallet carries: an offer by value, or the address of one. Exactly one is set.
type OfferLink struct {
	Offer    *CredentialOffer
	OfferURI string
}

// DeepLinkByReference builds the link openid-credential-offer://?credential_offer_uri=… for an https address (http on
// loopback).
func DeepLinkByReference(offerURI string) (string, error) {
	if err := CheckURL(offerURI); err != nil {
		return "", fmt.Errorf("build credential offer link: %w", err)
	}
	return OfferScheme + "://?" + paramOfferURI + "=" + escapeParam(offerURI), nil
}

// DeepLinkByValue builds the link openid-credential-offer://?credential_offer=… with the whole offer in it. The link is
// as secret as the offer.
func DeepLinkByValue(offer CredentialOffer) (string, error) {
	if err := offer.Validate(); err != nil {
		return "", fmt.Errorf("build credential offer link: %w", err)
	}
	data, err := json.Marshal(offer)
	if err != nil {
		return "", fmt.Errorf("build credential offer link: %w", err)
	}
	link := OfferScheme + "://?" + paramOffer + "=" + escapeParam(string(data))
	if len(link) > maxLink {
		return "", fmt.Errorf("build credential offer link: %w: longer than %d bytes", ErrMalformed, maxLink)
	}
	return link, nil
}

// escapeParam escapes a query value with %20 for a space: mobile systems hand the link to wallets that do not all read
// "+" as one.
func escapeParam(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// ParseOfferLink reads a link that invokes a wallet: scheme openid-credential-offer or haip-vci, or an https address with
// an offer parameter. Errors: ErrNoOffer, ErrUnsafeURL, ErrMalformed; none repeats the link.
func ParseOfferLink(link string) (OfferLink, error) {
	if len(link) > maxLink {
		return OfferLink{}, fmt.Errorf("parse credential offer link: %w: longer than %d bytes", ErrMalformed, maxLink)
	}
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil {
		return OfferLink{}, fmt.Errorf("parse credential offer link: %w: not an address", ErrMalformed)
	}
	web := u.Scheme != OfferScheme && u.Scheme != haipScheme
	if web && u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return OfferLink{}, fmt.Errorf("parse credential offer link: %w: scheme", ErrUnsafeURL)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return OfferLink{}, fmt.Errorf("parse credential offer link: %w: query", ErrMalformed)
	}
	byValue, byReference := query[paramOffer], query[paramOfferURI]
	switch {
	case len(byValue) == 1 && len(byReference) == 0:
		offer, err := ParseCredentialOffer([]byte(byValue[0]))
		if err != nil {
			return OfferLink{}, fmt.Errorf("parse credential offer link: %w", err)
		}
		return OfferLink{Offer: &offer}, nil
	case len(byValue) == 0 && len(byReference) == 1:
		if err := CheckURL(byReference[0]); err != nil {
			return OfferLink{}, fmt.Errorf("parse credential offer link: %w", err)
		}
		return OfferLink{OfferURI: byReference[0]}, nil
	case len(byValue) == 0 && len(byReference) == 0 && web:
		return OfferLink{}, ErrNoOffer
	default:
		return OfferLink{}, fmt.Errorf("parse credential offer link: %w: exactly one offer parameter is needed", ErrMalformed)
	}
}

// ParseCredentialOffer reads a credential offer object of at most MaxOffer bytes. Unknown members are ignored. Errors are
// ErrMalformed or ErrUnsafeURL.
func ParseCredentialOffer(data []byte) (CredentialOffer, error) {
	offer, err := decode[CredentialOffer](data, MaxOffer)
	if err != nil {
		return CredentialOffer{}, fmt.Errorf("parse credential offer: %w", err)
	}
	if err := offer.Validate(); err != nil {
		return CredentialOffer{}, fmt.Errorf("parse credential offer: %w", err)
	}
	return offer, nil
}

// Validate checks the rules of Credential Offer Parameters. Errors are ErrMalformed or ErrUnsafeURL.
func (o CredentialOffer) Validate() error {
	if err := CheckIssuerIdentifier(o.CredentialIssuer); err != nil {
		return fmt.Errorf("credential_issuer: %w", err)
	}
	if err := checkNames("credential_configuration_ids", o.CredentialConfigurationIDs); err != nil {
		return err
	}
	if len(o.CredentialConfigurationIDs) == 0 {
		return fmt.Errorf("%w: credential_configuration_ids is empty", ErrMalformed)
	}
	grant := o.Grants.PreAuthorizedCode
	if grant == nil {
		return nil
	}
	if grant.PreAuthorizedCode == "" || len(grant.PreAuthorizedCode) > maxSecret {
		return fmt.Errorf("%w: pre-authorized_code", ErrMalformed)
	}
	if tx := grant.TxCode; tx != nil {
		known := tx.InputMode == "" || tx.InputMode == InputModeNumeric || tx.InputMode == InputModeText
		if !known || tx.Length < 0 || tx.Length > maxTxCode || utf8.RuneCountInString(tx.Description) > 300 {
			return fmt.Errorf("%w: tx_code", ErrMalformed)
		}
	}
	return nil
}

// maxNames and maxName bound lists of identifiers and one identifier (bytes).
const (
	maxNames = 100
	maxName  = 256
)

// checkNames accepts a list of distinct, non-empty, bounded strings.
func checkNames(member string, names []string) error {
	if len(names) > maxNames {
		return fmt.Errorf("%w: %s has too many entries", ErrMalformed, member)
	}
	for i, name := range names {
		if name == "" || len(name) > maxName || slices.Contains(names[:i], name) {
			return fmt.Errorf("%w: %s has an entry that is empty, too long or given twice", ErrMalformed, member)
		}
	}
	return nil
}
