package domain

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The rules of logon codes that hold where nobody sets others (B8).
const (
	DefaultLogonCodeSimple  = "12-12N"
	DefaultLogonCodeComplex = "12-12ULSN[BGIlOQDSZ]"
)

// Limits of the lengths of logon codes, in characters. The shortest code has room for one character of each class.
const (
	MinLogonCode = 4
	MaxLogonCode = 64
)

// LogonCodeSymbols are the symbols in logon codes. They are on every keyboard without a dead key, one character each in the basic alphabet of
// SMS (3GPP TS 23.038), mean nothing to HTML, and neither end a sentence nor turn text into a link.
const LogonCodeSymbols = "!#$%*+=?"

// logonCodeClasses are the classes of characters in their canonical order.
var logonCodeClasses = []struct {
	letter     byte
	characters string
}{
	{'U', "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
	{'L', "abcdefghijklmnopqrstuvwxyz"},
	{'S', LogonCodeSymbols},
	{'N', "0123456789"},
}

// LogonCodeRule says which logon codes are good (B8). Rules come from [ParseLogonCodeRule]; equal rules are equal values. The zero value allows
// no code at all.
type LogonCodeRule struct {
	min, max int
	classes  string // in the order U L S N: upper-case = must occur, lower-case = may
	excluded string // sorted, each once
}

var logonCodeLengths = regexp.MustCompile(`^([0-9]{2})-([0-9]{2})`)

// ParseLogonCodeRule reads a rule: the least and the greatest length as mm-nn, the classes of characters U (upper-case letters), L (lower-case
// letters), S (symbols, see [LogonCodeSymbols]) and N (numerals), and, in brackets, characters that never occur. Of a class in an upper-case
// letter every code has at least one character; those of a class in a lower-case letter may occur. "08-12Ln[lo01]" is 8 to 12 lower-case letters
// and digits with at least one letter, without l, o, 0 and 1.
func ParseLogonCodeRule(s string) (LogonCodeRule, error) {
	rule, err := parseLogonCodeRule(s)
	if err != nil {
		return LogonCodeRule{}, fmt.Errorf("parse logon code rule: %w", err)
	}
	return rule, nil
}

func parseLogonCodeRule(s string) (LogonCodeRule, error) {
	lengths := logonCodeLengths.FindStringSubmatch(s)
	if lengths == nil {
		return LogonCodeRule{}, errors.New("want mm-nn, classes and exclusions, for example " + DefaultLogonCodeComplex)
	}
	var rule LogonCodeRule
	rule.min, _ = strconv.Atoi(lengths[1])
	rule.max, _ = strconv.Atoi(lengths[2])
	if rule.min < MinLogonCode || rule.max > MaxLogonCode || rule.min > rule.max {
		return LogonCodeRule{}, fmt.Errorf("the lengths must be between %02d and %d and in order", MinLogonCode, MaxLogonCode)
	}
	classes, exclusions, excludes := strings.Cut(s[len(lengths[0]):], "[")
	var err error
	if rule.classes, err = parseLogonCodeClasses(classes); err != nil {
		return LogonCodeRule{}, err
	}
	if excludes {
		if rule.excluded, err = parseLogonCodeExclusions(exclusions); err != nil {
			return LogonCodeRule{}, err
		}
	}
	for _, class := range rule.split() {
		if class.characters == "" {
			return LogonCodeRule{}, fmt.Errorf("class %c has no character left after the exclusions", class.letter)
		}
	}
	return rule, nil
}

func parseLogonCodeClasses(s string) (string, error) {
	if s == "" {
		return "", errors.New("names no class of characters: want some of U, L, S and N, or u, l, s and n")
	}
	given := s
	var canonical strings.Builder
	for _, class := range logonCodeClasses {
		letter := string(class.letter)
		switch strings.Count(s, letter) + strings.Count(s, strings.ToLower(letter)) {
		case 0:
			continue
		case 1:
		default:
			return "", fmt.Errorf("names class %s twice", letter)
		}
		if !strings.Contains(s, letter) {
			letter = strings.ToLower(letter)
		}
		canonical.WriteString(letter)
		given = strings.Replace(given, letter, "", 1)
	}
	if given != "" {
		return "", errors.New("names an unknown class: want some of U, L, S and N, or u, l, s and n")
	}
	return canonical.String(), nil
}

// parseLogonCodeExclusions reads what follows the opening bracket.
func parseLogonCodeExclusions(s string) (string, error) {
	exclusions, rest, closed := strings.Cut(s, "]")
	switch {
	case !closed:
		return "", errors.New("the bracket of the excluded characters is not closed")
	case rest != "":
		return "", errors.New("nothing may follow the excluded characters")
	case exclusions == "":
		return "", errors.New("the brackets hold no excluded character")
	case strings.ContainsFunc(exclusions, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("excluded characters must be visible ASCII characters")
	}
	sorted := []byte(exclusions)
	slices.Sort(sorted)
	return string(slices.Compact(sorted)), nil
}

// String gives the rule in its canonical form: the classes in the order U L S N, the excluded characters sorted.
func (r LogonCodeRule) String() string {
	s := fmt.Sprintf("%02d-%02d%s", r.min, r.max, r.classes)
	if r.excluded != "" {
		s += "[" + r.excluded + "]"
	}
	return s
}

// logonCodeClass is a class of a rule with the characters that its exclusions leave.
type logonCodeClass struct {
	letter     byte
	characters string
	must       bool
}

func (r LogonCodeRule) split() []logonCodeClass {
	var classes []logonCodeClass
	for _, class := range logonCodeClasses {
		must := strings.IndexByte(r.classes, class.letter) >= 0
		if !must && !strings.Contains(r.classes, strings.ToLower(string(class.letter))) {
			continue
		}
		characters := strings.Map(func(c rune) rune {
			if strings.ContainsRune(r.excluded, c) {
				return -1
			}
			return c
		}, class.characters)
		classes = append(classes, logonCodeClass{class.letter, characters, must})
	}
	return classes
}

// Matches says whether code keeps to the rule. It tells nothing of whether the code is somebody's.
func (r LogonCodeRule) Matches(code string) bool {
	if r.max == 0 || len(code) < r.min || len(code) > r.max {
		return false
	}
	known := 0
	for _, class := range r.split() {
		n := 0
		for _, c := range []byte(code) {
			if strings.IndexByte(class.characters, c) >= 0 {
				n++
			}
		}
		if class.must && n == 0 {
			return false
		}
		known += n
	}
	return known == len(code)
}

// maxLogonCodeDraws bounds the search for a code that has every class. It is longest for four characters of four classes three of which have but
// one character left: some 1,130 draws. This many fail with a chance below 10^-37.
const maxLogonCodeDraws = 100_000

// Generate makes a code. Its length is drawn evenly from those of the rule; among the codes of that length each is as likely as any other: the
// characters are drawn evenly and independently, and a code that lacks a class is thrown away whole. random is crypto/rand.Reader outside
// tests. An error is one of random, or says that its bytes are not random.
func (r LogonCodeRule) Generate(random io.Reader) (string, error) {
	if r.max == 0 {
		return "", errors.New("generate logon code: there is no rule")
	}
	var alphabet string
	for _, class := range r.split() {
		alphabet += class.characters
	}
	source := evenSource{random: random}
	length, err := source.below(r.max - r.min + 1)
	if err != nil {
		return "", fmt.Errorf("generate logon code: %w", err)
	}
	code := make([]byte, r.min+length)
	for range maxLogonCodeDraws {
		for i := range code {
			n, err := source.below(len(alphabet))
			if err != nil {
				return "", fmt.Errorf("generate logon code: %w", err)
			}
			code[i] = alphabet[n]
		}
		if r.Matches(string(code)) {
			return string(code), nil
		}
	}
	return "", fmt.Errorf("generate logon code: %w", errNotRandom)
}

var errNotRandom = errors.New("the source of randomness is not random")

// evenSource draws small numbers evenly from random bytes.
type evenSource struct {
	random io.Reader
	buffer [64]byte
	unread []byte
}

// below gives one of 0 … n-1, n at most 256, each as likely as any other: bytes from the last multiple of n on, which would favour the smaller
// numbers, are thrown away. At worst that is every second one, so a source that has 200 of them in a row is broken.
func (s *evenSource) below(n int) (int, error) {
	for range 200 {
		if len(s.unread) == 0 {
			if _, err := io.ReadFull(s.random, s.buffer[:]); err != nil {
				return 0, fmt.Errorf("read randomness: %w", err)
			}
			s.unread = s.buffer[:]
		}
		b := int(s.unread[0])
		s.unread = s.unread[1:]
		if b < 256-256%n {
			return b % n, nil
		}
	}
	return 0, errNotRandom
}
