package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/mdocket/mdocket/internal/domain"
)

// Argon2id with 19 MiB, 2 passes, 1 lane: the OWASP minimum for interactive sign-in.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16

	minPassword = 12
	maxPassword = 256
)

// hashing bounds how many passwords are worked on at once, so that a flood of sign-ins cannot take all memory.
var hashing = make(chan struct{}, 4)

// HashPassword checks the length of a new password and gives its Argon2id hash in PHC form.
func HashPassword(password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
		return "", &domain.Error{Code: domain.CodeInvalid, Message: "the password is not usable",
			Fields: []domain.FieldError{{Field: "password", Problem: fmt.Sprintf("must be %d to %d characters", minPassword, maxPassword)}}}
	}
	salt := make([]byte, argonSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(derive(password, salt))), nil
}

// checkPassword compares in constant time; an account without a password never matches.
func checkPassword(stored, password string) bool {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || utf8.RuneCountInString(password) > maxPassword {
		burnPassword(password)
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil {
		return false
	}
	return subtle.ConstantTimeCompare(derive(password, salt), want) == 1
}

func derive(password string, salt []byte) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
}

// burnPassword takes the time a check takes.
func burnPassword(password string) {
	if len(password) > 4*maxPassword {
		password = ""
	}
	derive(password, make([]byte, argonSalt))
}
