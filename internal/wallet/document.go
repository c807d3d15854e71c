package wallet

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mdocket/mdocket/internal/mdoc"
	"github.com/mdocket/mdocket/internal/oid4vci"
)

// checkedDocument is what the wallet keeps of a verified IssuerSigned beside its bytes.
type checkedDocument struct {
	keyID                         string // thumbprint of the device key
	signed, validFrom, validUntil time.Time
}

// checkDocument verifies an issued document: signature, digests, docType and dates, and with roots the chain of its signer.
// A document that becomes valid later is accepted. Errors wrap ErrBadDocument.
func checkDocument(data []byte, docType string, roots *x509.CertPool, now time.Time) (checkedDocument, error) {
	parsed, err := mdoc.Parse(data)
	if err != nil {
		return checkedDocument{}, fmt.Errorf("%w: %w", ErrBadDocument, err)
	}
	validity := parsed.MSO.Validity
	at := now
	if validity.ValidFrom.After(at) {
		at = validity.ValidFrom
	}
	if _, err := parsed.Verify(mdoc.VerifyOptions{Roots: roots, Now: at, DocType: docType}); counts(err, roots) {
		return checkedDocument{}, fmt.Errorf("%w: %w", ErrBadDocument, err)
	}
	keyID, err := oid4vci.Thumbprint(parsed.MSO.DeviceKey)
	if err != nil {
		return checkedDocument{}, fmt.Errorf("%w: device key: %w", ErrBadDocument, err)
	}
	return checkedDocument{
		keyID: keyID, signed: validity.Signed, validFrom: validity.ValidFrom, validUntil: validity.ValidUntil,
	}, nil
}

// counts tells whether a verification failed for more than the chain of a wallet that trusts no root in particular.
func counts(err error, roots *x509.CertPool) bool {
	var failed *mdoc.VerificationError
	if err == nil || roots != nil || !errors.As(err, &failed) {
		return err != nil
	}
	for _, problem := range failed.Problems {
		if problem.Check != mdoc.CheckChain {
			return true
		}
	}
	return false
}

// readElements lists the data elements of an IssuerSigned.
func readElements(data []byte) ([]Element, error) {
	parsed, err := mdoc.Parse(data)
	if err != nil {
		return nil, err
	}
	var elements []Element
	for _, ns := range parsed.NameSpaces {
		for _, item := range ns.Items {
			elements = append(elements, Element{
				NameSpace: printable(ns.Name), Identifier: printable(item.Identifier), Value: printValue(item.Value),
			})
		}
	}
	return elements, nil
}

// longestBytes is the longest byte string that is shown in full.
const longestBytes = 32

// First bytes of portraits: JPEG, and the two forms of JPEG 2000 (file and bare codestream).
var (
	jpeg         = []byte{0xff, 0xd8, 0xff}
	jpeg2000     = []byte("\x00\x00\x00\x0cjP  ")
	jpeg2000Bare = []byte{0xff, 0x4f, 0xff, 0x51}
)

// printValue makes one line of an element value as mdoc.Element describes it.
func printValue(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return printable(v)
	case bool:
		return strconv.FormatBool(v)
	case uint64:
		return strconv.FormatUint(v, 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case mdoc.FullDate:
		return string(v)
	case mdoc.TDate:
		return string(v)
	case []byte:
		return printBytes(v)
	case []any:
		parts := make([]string, 0, len(v))
		for _, part := range v {
			parts = append(parts, printValue(part))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mdoc.Map:
		parts := make([]string, 0, len(v))
		for _, entry := range v {
			parts = append(parts, printable(entry.Key)+": "+printValue(entry.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return "(a value of another kind)"
	}
}

func printBytes(data []byte) string {
	switch {
	case bytes.HasPrefix(data, jpeg):
		return fmt.Sprintf("JPEG picture, %d bytes", len(data))
	case bytes.HasPrefix(data, jpeg2000), bytes.HasPrefix(data, jpeg2000Bare):
		return fmt.Sprintf("JPEG 2000 picture, %d bytes", len(data))
	case len(data) > longestBytes:
		return fmt.Sprintf("%d bytes", len(data))
	default:
		return hex.EncodeToString(data)
	}
}

// printable takes out what could steer a terminal: the issuer of a document need not be a friend.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
