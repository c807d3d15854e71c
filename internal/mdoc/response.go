package mdoc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

const responseVersion = "1.0"

// ErrPresentation is wrapped when a DeviceResponse cannot be built.
var ErrPresentation = errors.New("presentation not possible")

// emptyNameSpaces is DeviceNameSpacesBytes of a holder who adds no data elements of their own: #6.24(h'a0').
var emptyNameSpaces = []byte{0xd8, 0x18, 0x41, 0xa0}

// DeviceResponse is what a holder's device presents (ISO/IEC 18013-5 clause 8.3.2.1.2.2).
type DeviceResponse struct {
	Version   string
	Documents []Document
	// Status is 0 for OK.
	Status uint64
}

// Document is one document of a DeviceResponse, as received.
type Document struct {
	DocType string
	// IssuerSigned is the encoded structure, for Parse.
	IssuerSigned []byte
	// DeviceNameSpaces is DeviceNameSpacesBytes, tag included: data elements that the device itself vouches for.
	DeviceNameSpaces []byte
	// DeviceSignature is the untagged COSE_Sign1 with detached payload; nil if the device authenticated with a MAC.
	DeviceSignature []byte
	// DeviceMAC is the untagged COSE_Mac0 with detached payload; nil if the device signed.
	DeviceMAC []byte
}

// DecodeDeviceResponse decodes a DeviceResponse, bounded as Parse is. Errors wrap ErrMalformed.
func DecodeDeviceResponse(data []byte) (*DeviceResponse, error) {
	var wire struct {
		Version   string `cbor:"version"`
		Documents []struct {
			DocType      string          `cbor:"docType"`
			IssuerSigned cbor.RawMessage `cbor:"issuerSigned"`
			DeviceSigned struct {
				NameSpaces cbor.RawMessage `cbor:"nameSpaces"`
				DeviceAuth struct {
					Signature cbor.RawMessage `cbor:"deviceSignature"`
					MAC       cbor.RawMessage `cbor:"deviceMac"`
				} `cbor:"deviceAuth"`
			} `cbor:"deviceSigned"`
		} `cbor:"documents"`
		Status *uint64 `cbor:"status"`
	}
	if err := decode(data, &wire); err != nil {
		return nil, malformed("DeviceResponse", err)
	}
	if wire.Version == "" || wire.Status == nil {
		return nil, malformed("DeviceResponse", errors.New("version or status is missing"))
	}
	response := &DeviceResponse{Version: wire.Version, Status: *wire.Status}
	for _, document := range wire.Documents {
		if document.DocType == "" || document.IssuerSigned == nil {
			return nil, malformed("DeviceResponse", errors.New("docType or issuerSigned is missing"))
		}
		response.Documents = append(response.Documents, Document{
			DocType:          document.DocType,
			IssuerSigned:     document.IssuerSigned,
			DeviceNameSpaces: document.DeviceSigned.NameSpaces,
			DeviceSignature:  document.DeviceSigned.DeviceAuth.Signature,
			DeviceMAC:        document.DeviceSigned.DeviceAuth.MAC,
		})
	}
	return response, nil
}

// Verify makes all checks of IssuerSigned.Verify, holds the MSO against the docType of the document, and verifies the device
// signature for the encoded SessionTranscript. A document that is authenticated with a MAC fails CheckDevice: only the reader
// that holds the session's ephemeral key could verify it. Device-signed data elements are authenticated but not handed out.
//
// An error is a *VerificationError, or wraps ErrMalformed.
func (d *Document) Verify(opts VerifyOptions, sessionTranscript []byte) (*Verified, error) {
	parsed, err := Parse(d.IssuerSigned)
	if err != nil {
		return nil, err
	}
	problems := parsed.problems(opts)
	if d.DocType != parsed.MSO.DocType && opts.DocType != d.DocType {
		problems = append(problems, Problem{Check: CheckDocType, Detail: "MSO is for another docType than the document"})
	}
	if err := d.verifyDevice(parsed.MSO.DeviceKey, sessionTranscript); err != nil {
		problems = append(problems, Problem{Check: CheckDevice, Detail: err.Error()})
	}
	if len(problems) > 0 {
		return nil, &VerificationError{Problems: problems}
	}
	return parsed.verified(), nil
}

func (d *Document) verifyDevice(key *ecdsa.PublicKey, sessionTranscript []byte) error {
	if d.DeviceSignature == nil {
		return errors.New("no device signature")
	}
	message, err := parseSign1(d.DeviceSignature)
	if err != nil {
		return errors.New("device signature is malformed")
	}
	if message.Payload != nil {
		return errors.New("payload of the device signature is not detached")
	}
	if _, err := unwrapEncoded(d.DeviceNameSpaces); err != nil {
		return fmt.Errorf("read device name spaces: %w", err)
	}
	if message.Payload, err = deviceAuthentication(sessionTranscript, d.DocType, d.DeviceNameSpaces); err != nil {
		return err
	}
	return verifySign1(message, key)
}

// deviceAuthentication is DeviceAuthenticationBytes: #6.24(bstr .cbor ["DeviceAuthentication", SessionTranscript, DocType,
// DeviceNameSpacesBytes]) (clause 9.1.3.4).
func deviceAuthentication(sessionTranscript []byte, docType string, deviceNameSpaces []byte) ([]byte, error) {
	if err := decMode.Wellformed(sessionTranscript); err != nil {
		return nil, fmt.Errorf("read session transcript: %w", err)
	}
	authentication := appendText(appendHead(nil, majorArray, 4), "DeviceAuthentication")
	authentication = append(authentication, sessionTranscript...)
	authentication = append(appendText(authentication, docType), deviceNameSpaces...)
	return appendEncoded(nil, authentication), nil
}

// Presentation says what a holder shows of one document.
type Presentation struct {
	// IssuerSigned is the encoded mdoc as it was issued.
	IssuerSigned []byte
	// Select lists the identifiers to show by name space; what the mdoc does not hold is left out. Nil shows everything.
	Select map[string][]string
	// DeviceKey is the key that the MSO names.
	DeviceKey crypto.Signer
	// SessionTranscript is the encoded SessionTranscript of the session.
	SessionTranscript []byte
}

// BuildDeviceResponse encodes a DeviceResponse with one document, signed by the device key. The issuer's bytes are taken over
// as they are. Errors wrap ErrMalformed or ErrPresentation.
func BuildDeviceResponse(p Presentation) ([]byte, error) {
	parsed, err := Parse(p.IssuerSigned)
	if err != nil {
		return nil, err
	}
	if p.DeviceKey == nil || !parsed.MSO.DeviceKey.Equal(p.DeviceKey.Public()) {
		return nil, fmt.Errorf("%w: device key is not the one of the MSO", ErrPresentation)
	}
	docType := parsed.MSO.DocType
	payload, err := deviceAuthentication(p.SessionTranscript, docType, emptyNameSpaces)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPresentation, err)
	}
	signature, err := signDetached(p.DeviceKey, parsed.MSO.DeviceKey, payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPresentation, err)
	}

	out := appendHead(make([]byte, 0, len(p.IssuerSigned)+512), majorMap, 3)
	out = appendText(appendText(out, "version"), responseVersion)
	out = appendHead(appendText(out, "documents"), majorArray, 1)
	out = appendHead(out, majorMap, 3)
	out = appendText(appendText(out, "docType"), docType)
	out = parsed.appendSelected(appendText(out, "issuerSigned"), p.Select)
	out = appendHead(appendText(out, "deviceSigned"), majorMap, 2)
	out = append(appendText(out, "nameSpaces"), emptyNameSpaces...)
	out = appendHead(appendText(out, "deviceAuth"), majorMap, 1)
	out = append(appendText(out, "deviceSignature"), signature...)
	return appendHead(appendText(out, "status"), majorUint, 0), nil
}

func signDetached(key crypto.Signer, public *ecdsa.PublicKey, payload []byte) ([]byte, error) {
	c, err := curveOf(public)
	if err != nil {
		return nil, err
	}
	signer, err := newCOSESigner(c, key)
	if err != nil {
		return nil, fmt.Errorf("use device key: %w", err)
	}
	message := cose.UntaggedSign1Message{
		Headers: cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: c.algorithm}},
		Payload: payload,
	}
	if err := message.Sign(rand.Reader, nil, signer); err != nil {
		return nil, fmt.Errorf("sign device authentication: %w", err)
	}
	message.Payload = nil
	return message.MarshalCBOR()
}

// appendSelected encodes an IssuerSigned that holds the selected items and the whole issuerAuth.
func (s *IssuerSigned) appendSelected(dst []byte, selected map[string][]string) []byte {
	nameSpaces := s.NameSpaces
	if selected != nil {
		nameSpaces = nil
		for _, ns := range s.NameSpaces {
			items := slices.DeleteFunc(slices.Clone(ns.Items), func(item Item) bool {
				return !slices.Contains(selected[ns.Name], item.Identifier)
			})
			if len(items) > 0 {
				nameSpaces = append(nameSpaces, IssuerNameSpace{Name: ns.Name, Items: items})
			}
		}
	}
	pairs := uint64(1)
	if len(nameSpaces) > 0 {
		pairs = 2
	}
	dst = appendHead(dst, majorMap, pairs)
	if len(nameSpaces) > 0 {
		dst = appendHead(appendText(dst, "nameSpaces"), majorMap, uint64(len(nameSpaces)))
		for _, ns := range nameSpaces {
			dst = appendHead(appendText(dst, ns.Name), majorArray, uint64(len(ns.Items)))
			for _, item := range ns.Items {
				dst = append(dst, item.Raw...)
			}
		}
	}
	return append(appendText(dst, "issuerAuth"), s.rawAuth...)
}
