package domain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
)

// CodeComplexity is the rule for authentication codes: "mm-nnN", mm to nn digits (B9).
type CodeComplexity struct{ Min, Max int }

var codeComplexity = regexp.MustCompile(`^(\d\d)-(\d\d)N$`)

// ParseCodeComplexity reads "04-08N": between 4 and 12 digits.
func ParseCodeComplexity(s string) (CodeComplexity, error) {
	m := codeComplexity.FindStringSubmatch(s)
	if m == nil {
		return CodeComplexity{}, fmt.Errorf("parse code complexity: want mm-nnN, for example 04-08N; codes are numeric only")
	}
	lo, _ := strconv.Atoi(m[1])
	hi, _ := strconv.Atoi(m[2])
	if lo < 4 || hi > 12 || lo > hi {
		return CodeComplexity{}, fmt.Errorf("parse code complexity: the lengths must be between 04 and 12 and in order")
	}
	return CodeComplexity{lo, hi}, nil
}

// AuthenticationCode derives the code of a request's generation: HMAC-SHA-256 over both, cut to digits as HOTP does (RFC 4226 5.3), with
// 64 bits so that every digit is even over its range. It is never stored: the same inputs give the same code.
func AuthenticationCode(key []byte, requestID string, generation, digits int) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(requestID + "\n" + strconv.Itoa(generation)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	n := binary.BigEndian.Uint64(sum[offset : offset+8])
	mod := uint64(1)
	for range digits {
		mod *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%mod)
}
