package issuer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/mdocket/mdocket/internal/domain"
)

// Links, pre-authorized codes and access tokens are not stored: each is a request id, a generation and a time under a keyed hash, different for
// each purpose. A new generation makes all earlier ones worthless.
type purpose string

const (
	purposeLink          purpose = "collection link"
	purposePreAuthorized purpose = "pre-authorized code"
	purposeAccess        purpose = "access token"
	purposeNonce         purpose = "c_nonce"
)

const (
	macSize   = 16 // 128 bits
	tokenSize = 16 + 4 + 8 + macSize
)

// grant is what a token says.
type grant struct {
	requestID  string
	generation int
	expires    time.Time // zero = as long as the generation
}

func (is *Issuer) seal(p purpose, g grant) (string, error) {
	id, err := uuid.Parse(g.requestID)
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	b := make([]byte, 0, tokenSize)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(g.generation)) //nolint:gosec // generations are small and positive
	b = binary.BigEndian.AppendUint64(b, unixOf(g.expires))
	return base64.RawURLEncoding.EncodeToString(append(b, is.mac(p, b)...)), nil
}

// open checks a token in constant time; false for anything that was not sealed for this purpose, or is over.
func (is *Issuer) open(p purpose, token string) (grant, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenSize {
		return grant{}, false
	}
	body := b[:tokenSize-macSize]
	if !hmac.Equal(b[tokenSize-macSize:], is.mac(p, body)) {
		return grant{}, false
	}
	g := grant{requestID: uuid.UUID(body[:16]).String(), generation: int(binary.BigEndian.Uint32(body[16:20]))}
	if at := binary.BigEndian.Uint64(body[20:28]); at != 0 {
		g.expires = time.Unix(int64(at), 0) //nolint:gosec // written by seal
		if !is.Now().Before(g.expires) {
			return grant{}, false
		}
	}
	return g, true
}

func (is *Issuer) mac(p purpose, body []byte) []byte {
	m := hmac.New(sha256.New, is.tokenKey)
	m.Write([]byte(p))
	m.Write([]byte{0})
	m.Write(body)
	return m.Sum(nil)[:macSize]
}

func unixOf(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix()) //nolint:gosec // times of this century
}

// code gives the authentication code of the request's generation.
func (is *Issuer) code(r domain.Request) string {
	return domain.AuthenticationCode(is.codeKey, r.ID, r.Generation, r.CodeDigits)
}

// collectionLink gives the address of the collection page for the request's generation: what travels in the e-mail.
func (is *Issuer) collectionLink(s domain.Settings, r domain.Request) (string, error) {
	token, err := is.seal(purposeLink, grant{requestID: r.ID, generation: r.Generation})
	return is.publicBaseURL(s) + "/c/" + token, err
}
