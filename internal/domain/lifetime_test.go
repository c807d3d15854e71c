package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

// from is an instant in the middle of a second and in a zone that is not UTC.
var from = time.Date(2026, 1, 10, 13, 30, 15, 500_000_000, time.FixedZone("east", 2*3600))

func day(d domain.Date) time.Time { return d.End().Add(-time.Second) }

// TestLifetimeTable goes through every combination of what limits a lifetime: the days of the profile, the date asked for and the person's
// last day each unset, within the signer's reach or beyond it.
func TestLifetimeTable(t *testing.T) {
	limit := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
	usual := limit.AddDate(0, -1, 0)
	start := from.UTC().Truncate(time.Second)
	within, beyond := domain.Date("2026-06-30"), domain.Date("2027-09-30")
	for _, days := range []int{0, 100, 600} {
		for _, requested := range []domain.Date{"", within, beyond} {
			for _, person := range []domain.Date{"", "2026-05-15", beyond} {
				t.Run(fmt.Sprintf("%d days, asked %q, person %q", days, requested, person), func(t *testing.T) {
					got, err := domain.Lifetime{Days: days, RequestedDate: requested, PersonMax: person, SignerLimit: limit,
						DefaultLimit: usual}.ValidUntil(from)

					// The earliest limit counts; only a lifetime that nobody asked for is cut to what signers cover.
					wish, asked := start.AddDate(0, 0, domain.DefaultLifetimeDays), days > 0 || requested == beyond
					if days > 0 {
						wish = start.AddDate(0, 0, days)
					}
					for _, d := range []domain.Date{requested, person} {
						if d != "" && day(d).Before(wish) {
							wish = day(d)
						}
					}
					switch {
					case !wish.After(limit):
						require.NoError(t, err)
						if requested == "" && days == 0 && wish.After(usual) {
							wish = usual
						}
						require.Equal(t, wish, got)
					case asked:
						require.Equal(t, domain.CodeLifetimeBeyondSigner, domain.CodeOf(err))
						var refused *domain.Error
						require.ErrorAs(t, err, &refused)
						require.Equal(t, "2027-04-01", refused.Details["latest"])
					default:
						require.NoError(t, err)
						require.Equal(t, usual, got)
					}
				})
			}
		}
	}
}

func TestLifetimeEdges(t *testing.T) {
	far := from.AddDate(20, 0, 0)
	for name, c := range map[string]struct {
		l    domain.Lifetime
		want time.Time
		code domain.Code
	}{
		"default": {l: domain.Lifetime{SignerLimit: far}, want: from.AddDate(0, 0, 730)},
		"person's last day": {l: domain.Lifetime{PersonMax: "2026-01-10", SignerLimit: far},
			want: time.Date(2026, 1, 10, 23, 59, 59, 0, time.UTC)},
		"person's day is over": {l: domain.Lifetime{PersonMax: "2026-01-09", SignerLimit: far}, code: domain.CodeLifetimeOver},
		"date asked for over":  {l: domain.Lifetime{RequestedDate: "2025-12-31", SignerLimit: far}, code: domain.CodeLifetimeOver},
		"signer over":          {l: domain.Lifetime{SignerLimit: from.Add(-time.Hour)}, code: domain.CodeLifetimeOver},
		"no usual limit":       {l: domain.Lifetime{SignerLimit: from.AddDate(0, 1, 0)}, want: from.AddDate(0, 1, 0)},
		"usual limit not asked": {l: domain.Lifetime{Days: 60, SignerLimit: far, DefaultLimit: from.AddDate(0, 0, 30)},
			want: from.AddDate(0, 0, 60)},
		"date past usual limit": {l: domain.Lifetime{RequestedDate: "2026-03-01", SignerLimit: far, DefaultLimit: from.AddDate(0, 0, 30)},
			want: time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.l.ValidUntil(from)
			if c.code != "" {
				require.Equal(t, c.code, domain.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want.UTC().Truncate(time.Second), got)
		})
	}
}

// A day is 24 hours, wherever the server stands.
func TestLifetimeIgnoresDaylightSaving(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Zurich")
	require.NoError(t, err)
	winter := time.Date(2026, 3, 28, 12, 0, 0, 0, zone)
	got, err := domain.Lifetime{Days: 2, SignerLimit: winter.AddDate(1, 0, 0)}.ValidUntil(winter)
	require.NoError(t, err)
	require.Equal(t, 48*time.Hour, got.Sub(winter))
}
