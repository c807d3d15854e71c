package domain_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

// seeded is a stream of random bytes that is the same in every run, so that what is counted below holds always or never.
func seeded(seed byte) io.Reader { return mathrand.NewChaCha8([32]byte{seed}) }

func logonCodeRule(t testing.TB, s string) domain.LogonCodeRule {
	t.Helper()
	rule, err := domain.ParseLogonCodeRule(s)
	require.NoError(t, err, s)
	return rule
}

func TestParseLogonCodeRule(t *testing.T) {
	for text, canonical := range map[string]string{
		domain.DefaultLogonCodeSimple:  "12-12N",
		domain.DefaultLogonCodeComplex: "12-12ULSN[BDGIOQSZl]",
		"04-64ulsn":                    "04-64ulsn",
		"08-10NsLu":                    "08-10uLsN",
		"08-12nL[10ol0]":               "08-12Ln[01lo]",
		`06-06N[["}\{]`:                `06-06N["[\{}]`,
		"04-04N[012345678]":            "04-04N[012345678]",
	} {
		rule := logonCodeRule(t, text)
		require.Equal(t, canonical, rule.String())
		require.Equal(t, rule, logonCodeRule(t, canonical), "equal rules are equal values")
	}
	for text, want := range map[string]string{
		"":                       "want mm-nn",
		"12N":                    "want mm-nn",
		"8-12N":                  "want mm-nn",
		"008-12N":                "want mm-nn",
		" 08-12N":                "want mm-nn",
		"08–12N":                 "want mm-nn",
		"٠٨-١٢N":                 "want mm-nn",
		"03-12N":                 "lengths",
		"12-65N":                 "lengths",
		"12-08N":                 "lengths",
		"08-12":                  "no class",
		"08-12[ab]":              "no class",
		"08-12NN":                "class N twice",
		"08-12Nn":                "class N twice",
		"08-12ULSNl":             "class L twice",
		"08-12NX":                "unknown class",
		"08-123N":                "unknown class",
		"08-12N ":                "unknown class",
		"08-12N\n":               "unknown class",
		"08-12N]":                "unknown class",
		"08-12Ⓝ":                 "unknown class",
		"08-12N[01":              "not closed",
		"08-12N[":                "not closed",
		"08-12N[]":               "no excluded character",
		"08-12N[01]U":            "nothing may follow",
		"08-12N[01]]":            "nothing may follow",
		"08-12N[0 1]":            "visible ASCII",
		"08-12N[0\t]":            "visible ASCII",
		"08-12L[ä]":              "visible ASCII",
		"08-12L[\xff]":           "visible ASCII",
		"08-12N[0123456789]":     "class N has no character left",
		"08-12LNs[!#$%*+=?]":     "class S has no character left",
		"08-12Un[9876543210abc]": "class N has no character left",
	} {
		rule, err := domain.ParseLogonCodeRule(text)
		require.ErrorContains(t, err, want, "%q", text)
		require.Zero(t, rule)
	}
}

func TestLogonCodeMatches(t *testing.T) {
	for _, c := range []struct {
		rule, code string
		want       bool
	}{
		{"04-06N", "0123", true},
		{"04-06N", "012345", true},
		{"04-06N", "012", false},
		{"04-06N", "0123456", false},
		{"04-06N", "01a3", false},
		{"04-06N", "", false},
		{"04-06N[0]", "0123", false},
		{"04-06Nu", "0123", true},
		{"04-06Nu", "012A", true},
		{"04-06Nu", "ABCD", false},
		{"04-06Nu", "012a", false},
		{"04-06ULSN", "Aa#1", true},
		{"04-06ULSN", "Aaa1", false},
		{"04-06ULSN", "Aa#1ä", false},
		{"04-06ULSN", "Aa<1", false},
		{"04-06ulsn", "aaaa", true},
		{"04-06L[o]", "oooo", false},
		{domain.DefaultLogonCodeComplex, "ACEFHJ#abc12", true},
		{domain.DefaultLogonCodeComplex, "ABEFHJ#abc12", false},
	} {
		require.Equal(t, c.want, logonCodeRule(t, c.rule).Matches(c.code), "%s %s", c.rule, c.code)
	}
	require.False(t, domain.LogonCodeRule{}.Matches(""), "no rule allows no code")
}

func TestGenerateLogonCode(t *testing.T) {
	for _, text := range []string{
		domain.DefaultLogonCodeSimple, domain.DefaultLogonCodeComplex, "04-09ULSN", "06-06uLsn", "05-07un", "04-64S", "64-64Ul", "04-04N[012345678]",
	} {
		t.Run(text, func(t *testing.T) {
			rule, random := logonCodeRule(t, text), seeded(1)
			lengths, characters := map[int]int{}, map[rune]int{}
			const codes = 5000
			for range codes {
				code, err := rule.Generate(random)
				require.NoError(t, err)
				require.True(t, rule.Matches(code))
				lengths[len(code)]++
				for _, c := range code {
					characters[c]++
				}
			}
			var least, greatest int
			_, err := fmt.Sscanf(text, "%d-%d", &least, &greatest)
			require.NoError(t, err)
			require.Len(t, lengths, greatest-least+1)
			for n := least; n <= greatest; n++ {
				// The deviation of a count of an event of chance p among n is at most the root of n p; six of them never happen by chance.
				expected := float64(codes) / float64(greatest-least+1)
				require.InDelta(t, expected, lengths[n], 6*math.Sqrt(expected)+1, "length %d", n)
			}
			for c := rune(1); c <= 0xff; c++ {
				require.Equal(t, allowed(text, c), characters[c] > 0, "character %q", c)
			}
		})
	}
}

// allowed reads the rule text anew, to check the code that reads it for use.
func allowed(rule string, c rune) bool {
	classes, excluded, _ := strings.Cut(rule[5:], "[")
	classes = strings.ToUpper(classes)
	class := ""
	switch {
	case c >= 'A' && c <= 'Z':
		class = "U"
	case c >= 'a' && c <= 'z':
		class = "L"
	case c >= '0' && c <= '9':
		class = "N"
	case strings.ContainsRune("!#$%*+=?", c):
		class = "S"
	default:
		return false
	}
	return strings.Contains(classes, class) && !strings.ContainsRune(strings.TrimSuffix(excluded, "]"), c)
}

// TestLogonCodesAreEven counts every code of a rule that has few: of A and B, 1 and 2 in four places with at least one of each class there are
// 4^4 - 2 * 2^4 = 224, and each must come about as often as any other.
func TestLogonCodesAreEven(t *testing.T) {
	rule := logonCodeRule(t, "04-04UN[CDEFGHIJKLMNOPQRSTUVWXYZ03456789]")
	random, counts := seeded(2), map[string]int{}
	const each = 200
	for range 224 * each {
		code, err := rule.Generate(random)
		require.NoError(t, err)
		counts[code]++
	}
	require.Len(t, counts, 224)
	for code, n := range counts {
		require.InDelta(t, each, n, 6*14.2, code)
	}
}

func TestLogonCodeOfTheRarestRule(t *testing.T) {
	rule := logonCodeRule(t, "04-04ULSN[ABCDEFGHIJKLMNOPQRSTUVWXY!#$%*+=012345678]")
	random := seeded(3)
	for range 20 {
		code, err := rule.Generate(random)
		require.NoError(t, err)
		for _, c := range "Z?9" {
			require.Equal(t, 1, strings.Count(code, string(c)))
		}
	}
}

func TestGenerateLogonCodeErrors(t *testing.T) {
	_, err := domain.LogonCodeRule{}.Generate(rand.Reader)
	require.ErrorContains(t, err, "no rule")
	rule := logonCodeRule(t, "12-12UN")
	broken := errors.New("no entropy")
	_, err = rule.Generate(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	_, err = rule.Generate(bytes.NewReader(make([]byte, 63)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "bytes are not made up")
	for _, b := range []byte{0, 0xff} {
		_, err = rule.Generate(constant(b))
		require.ErrorContains(t, err, "not random", "of bytes %#x", b)
	}
	code, err := rule.Generate(rand.Reader)
	require.NoError(t, err)
	require.True(t, rule.Matches(code))
}

type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func FuzzParseLogonCodeRule(f *testing.F) {
	for _, seed := range []string{domain.DefaultLogonCodeSimple, domain.DefaultLogonCodeComplex, "04-64ulsn", "08-12nL[10ol0]", "04-04N[012345678]",
		"08-12N[", "99-00N", "08-12NN", "04-04ULSN[ABCDEFGHIJKLMNOPQRSTUVWXY!#$%*+=012345678]", ""} {
		f.Add(seed, byte(0))
	}
	f.Fuzz(func(t *testing.T, text string, seed byte) {
		rule, err := domain.ParseLogonCodeRule(text)
		if err != nil {
			require.Zero(t, rule)
			return
		}
		again, err := domain.ParseLogonCodeRule(rule.String())
		require.NoError(t, err)
		require.Equal(t, rule, again)
		require.Equal(t, rule.String(), again.String())
		code, err := rule.Generate(seeded(seed))
		require.NoError(t, err)
		require.True(t, rule.Matches(code))
		for _, c := range code {
			require.True(t, allowed(text, c))
		}
	})
}
