package domain_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func TestParseCodeComplexity(t *testing.T) {
	for text, want := range map[string]domain.CodeComplexity{
		"04-08N": {Min: 4, Max: 8}, "04-04N": {Min: 4, Max: 4}, "12-12N": {Min: 12, Max: 12}, "06-10N": {Min: 6, Max: 10},
	} {
		got, err := domain.ParseCodeComplexity(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "04-08", "4-8N", "03-08N", "04-13N", "08-04N", "04-08n", "04-08NU", "04-08U", "12-12ULSN[BG]", " 04-08N",
		"04-08N\n", "04–08N", "-4-08N", "004-08N", "٠٤-٠٨N"} {
		_, err := domain.ParseCodeComplexity(text)
		require.Error(t, err, "%q", text)
	}
}

func FuzzParseCodeComplexity(f *testing.F) {
	for _, seed := range []string{"04-08N", "08-04N", "99-99N", "", "04-08N\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := domain.ParseCodeComplexity(text)
		if err != nil {
			require.Zero(t, c)
			return
		}
		require.Equal(t, text, fmt.Sprintf("%02d-%02dN", c.Min, c.Max))
		require.True(t, 4 <= c.Min && c.Min <= c.Max && c.Max <= 12)
	})
}

func TestAuthenticationCode(t *testing.T) {
	key := []byte("a key of the server")
	digits := regexp.MustCompile(`^[0-9]+$`)
	for n := 4; n <= 12; n++ {
		code := domain.AuthenticationCode(key, "request", 1, n)
		require.Len(t, code, n)
		require.Regexp(t, digits, code)
		require.Equal(t, code, domain.AuthenticationCode(key, "request", 1, n), "a repetition gives the same code")
		require.NotEqual(t, code, domain.AuthenticationCode(key, "request", 2, n))
		require.NotEqual(t, code, domain.AuthenticationCode(key, "request2", 1, n))
		require.NotEqual(t, code, domain.AuthenticationCode([]byte("another key"), "request", 1, n))
	}
	require.NotEqual(t, domain.AuthenticationCode(key, "r1", 1, 12), domain.AuthenticationCode(key, "r", 11, 12),
		"request and generation are kept apart")
}

// TestAuthenticationCodeDigits counts every digit at every place over many codes: each must come about as often as any other. With 20,000
// codes the expected count is 2,000 with a standard deviation of 42; the key is fixed, so the bound of 6 deviations holds always or never.
func TestAuthenticationCodeDigits(t *testing.T) {
	const codes, length = 20_000, 8
	var counts [length][10]int
	seen := map[string]bool{}
	for i := range codes {
		code := domain.AuthenticationCode([]byte("key"), fmt.Sprintf("request %d", i), 1, length)
		seen[code] = true
		for place, d := range code {
			counts[place][d-'0']++
		}
	}
	require.Greater(t, len(seen), codes-20, "codes repeat no more than chance lets them")
	for place := range counts {
		for d, n := range counts[place] {
			require.InDelta(t, codes/10, n, 6*42.4, "digit %d at place %d", d, place)
		}
	}
}

func TestErrors(t *testing.T) {
	codes := domain.Codes()
	seen := map[domain.Code]bool{}
	for _, c := range codes {
		require.Regexp(t, `^[a-z_]+$`, string(c))
		require.False(t, seen[c], "%s is listed twice", c)
		seen[c] = true
	}
	require.True(t, seen[domain.CodeInternal])

	err := fmt.Errorf("act: %w", domain.Errorf(domain.CodeConflict, "taken %d times", 2).With("id", "7").With("by", "me"))
	require.Equal(t, domain.CodeConflict, domain.CodeOf(err))
	require.ErrorIs(t, err, domain.Errorf(domain.CodeConflict, ""))
	require.NotErrorIs(t, err, domain.Errorf(domain.CodeInvalid, ""))
	require.Equal(t, "act: taken 2 times", err.Error())
	require.Equal(t, domain.CodeInternal, domain.CodeOf(fmt.Errorf("anything else")))
	require.Equal(t, domain.CodeInternal, domain.CodeOf(nil))

	var problems domain.Problems
	require.NoError(t, problems.Err(domain.CodeInvalid, "no problem"))
	problems.Add("a", "is %s", "bad")
	problems.Add("b", "is required")
	err = problems.Err(domain.CodeInvalid, "two problems")
	require.Equal(t, "two problems: a is bad; b is required", err.Error())
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []domain.FieldError{{Field: "a", Problem: "is bad"}, {Field: "b", Problem: "is required"}}, refused.Fields)
	require.Equal(t, 1, strings.Count(err.Error(), "required"))
}
