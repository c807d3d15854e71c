package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

func TestParseDate(t *testing.T) {
	for _, text := range []string{"", "2026-02-28", "2024-02-29", "1900-01-01", "9999-12-31"} {
		got, err := domain.ParseDate(text)
		require.NoError(t, err, text)
		require.Equal(t, domain.Date(text), got)
	}
	for _, text := range []string{"2025-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "26-01-01", "2026-01-01T00:00:00Z", " 2026-01-01",
		"01.02.2026", "2026/01/01", "10000-01-01", "2026-01-32", "today"} {
		_, err := domain.ParseDate(text)
		require.Error(t, err, "%q", text)
	}
}

func FuzzParseDate(f *testing.F) {
	for _, seed := range []string{"2024-02-29", "2025-02-29", "", "0000-00-00", "2026-01-01 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := domain.ParseDate(text)
		if err != nil {
			require.Empty(t, d)
			return
		}
		require.Equal(t, text, string(d))
		if d == "" {
			require.True(t, d.Start().IsZero() && d.End().IsZero())
			return
		}
		require.Equal(t, d, domain.DateOf(d.Start()))
		require.Equal(t, 24*time.Hour, d.End().Sub(d.Start()))
	})
}

func TestDateOfIsTheDayInUTC(t *testing.T) {
	late := time.Date(2026, 3, 1, 1, 0, 0, 0, time.FixedZone("east", 2*3600))
	require.Equal(t, domain.Date("2026-02-28"), domain.DateOf(late))
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		birth domain.Date
		at    string
		want  int
	}{
		{"2000-06-15", "2018-06-14T23:59:59Z", 17},
		{"2000-06-15", "2018-06-15T00:00:00Z", 18},
		{"2000-06-15", "2018-06-15T01:00:00+02:00", 17}, // still the day before in UTC
		{"2000-12-31", "2001-01-01T00:00:00Z", 0},
		{"2000-06-15", "2000-06-15T00:00:00Z", 0},
		// Born on 29 February: 1 March of a common year, 29 February of a leap year.
		{"2004-02-29", "2022-02-28T23:59:59Z", 17},
		{"2004-02-29", "2022-03-01T00:00:00Z", 18},
		{"2004-02-29", "2024-02-28T23:59:59Z", 19},
		{"2004-02-29", "2024-02-29T00:00:00Z", 20},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		require.NoError(t, err)
		require.Equal(t, c.want, c.birth.Age(at), "%s at %s", c.birth, c.at)
	}
}

// A day later nobody is younger, and a year later everybody is one year older (or two, over the day after 28 February).
func TestAgeGrows(t *testing.T) {
	for _, birth := range []domain.Date{"1999-12-31", "2000-01-01", "2004-02-29", "2004-03-01"} {
		last := birth.Age(birth.Start())
		require.Zero(t, last)
		for day := birth.Start(); day.Year() < 2030; day = day.AddDate(0, 0, 1) {
			age := birth.Age(day)
			require.True(t, age == last || age == last+1, "%s on %s", birth, day)
			last = age
		}
	}
}
