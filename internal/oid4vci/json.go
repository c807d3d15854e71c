package oid4vci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Upper bounds of messages, in bytes. HTTP layers use them to limit what they read.
const (
	MaxOffer              = 64 << 10 // a credential offer object
	MaxMetadata           = 1 << 20  // issuer or authorization server metadata
	MaxSmallResponse      = 64 << 10 // token, nonce and error responses
	MaxCredentialRequest  = 1 << 20  // a credential request with its proofs
	MaxCredentialResponse = 32 << 20 // a credential response; portraits make the documents of a batch large
	MaxSmallRequest       = 16 << 10 // deferred credential and notification requests
)

// ErrIssuerMismatch is returned when metadata names another issuer than the one it was fetched for.
var ErrIssuerMismatch = errors.New("metadata is of another issuer")

// ErrMalformed marks a message that is not of the form the standard gives it.
var ErrMalformed = errors.New("malformed message")

// maxDepth bounds the nesting of JSON from outside. The deepest message of the protocol, issuer metadata, needs nine.
const maxDepth = 24

// decode reads one JSON value of at most limit bytes into T, after checkJSON.
func decode[T any](data []byte, limit int) (T, error) {
	var v T
	if err := checkJSON(data, limit); err != nil {
		return v, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		// The text of the inner error may repeat names and values from the message.
		return v, fmt.Errorf("%w: a member is of the wrong type", ErrMalformed)
	}
	return v, nil
}

// members reads one JSON object of at most limit bytes. Unlike encoding/json's struct decoding it leaves names as they
// are, so "Nonce" is not taken for "nonce".
func members(data []byte, limit int) (map[string]json.RawMessage, error) {
	m, err := decode[map[string]json.RawMessage](data, limit)
	if err == nil && m == nil {
		err = fmt.Errorf("%w: not an object", ErrMalformed)
	}
	return m, err
}

// member reads the member of that name into T; absent and null both give ok false.
func member[T any](m map[string]json.RawMessage, name string) (v T, ok bool, err error) {
	raw, present := m[name]
	if !present || bytes.Equal(raw, []byte("null")) {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, false, fmt.Errorf("%w: %s is of the wrong type", ErrMalformed, name)
	}
	return v, true, nil
}

// checkJSON refuses what two readers could understand differently (a name given twice in one object, text that is not
// UTF-8, data after the value) and what only costs (size, nesting).
func checkJSON(data []byte, limit int) error {
	if len(data) > limit {
		return fmt.Errorf("%w: larger than %d bytes", ErrMalformed, limit)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	if !json.Valid(data) {
		return fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []container
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: not JSON", ErrMalformed)
		}
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{', '[':
				if len(open) == maxDepth {
					return fmt.Errorf("%w: nested deeper than %d", ErrMalformed, maxDepth)
				}
				open = append(open, newContainer(delim))
			case '}', ']':
				open = open[:len(open)-1]
				closeValue(open)
			}
			continue
		}
		if len(open) == 0 {
			continue
		}
		current := &open[len(open)-1]
		if !current.expectName {
			closeValue(open)
			continue
		}
		name, _ := token.(string)
		if current.names[name] {
			return fmt.Errorf("%w: a name is given twice", ErrMalformed)
		}
		current.names[name] = true
		current.expectName = false
	}
}

// container is an object or array that checkJSON is inside of; names is nil for an array.
type container struct {
	names      map[string]bool
	expectName bool
}

func newContainer(delim json.Delim) container {
	if delim == '{' {
		return container{names: map[string]bool{}, expectName: true}
	}
	return container{}
}

// closeValue notes that the innermost container has read a whole value: in an object, a name comes next.
func closeValue(open []container) {
	if n := len(open); n > 0 && open[n-1].names != nil {
		open[n-1].expectName = true
	}
}
