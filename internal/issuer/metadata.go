package issuer

import (
	"context"
	"fmt"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/format"
)

// Configuration is one kind of document as wallets are told of it: a profile and its format.
type Configuration struct {
	Name        string // the profile's; the credential configuration id
	DisplayName string
	MaxCopies   int // keys in one request, at least 1
	Format      *format.Format
	Attestation domain.Resistances // what the keys must be attested, at least
}

// ConfigurationsStamp gives a text that changes whenever a profile is made or changed, or a setting changes what every profile demands.
func (is *Issuer) ConfigurationsStamp(ctx context.Context) (string, error) {
	stamp, err := is.Store.ProfilesStamp(ctx)
	if err != nil {
		return "", fmt.Errorf("look at profiles: %w", err)
	}
	s, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return "", err
	}
	return stamp + " " + string(s.BiometricVerification), nil
}

// Configurations lists what can be issued, for everyone to see (E1). A profile whose format is not installed is left out: nothing can be
// issued under it.
func (is *Issuer) Configurations(ctx context.Context) ([]Configuration, error) {
	profiles, err := is.Store.Profiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	s, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return nil, err
	}
	out := make([]Configuration, 0, len(profiles))
	for _, p := range profiles {
		f, ok := is.Formats.Get(p.Options.Format)
		if !ok {
			continue
		}
		out = append(out, Configuration{Name: p.Name, DisplayName: p.Options.DisplayName, MaxCopies: p.Options.MaxCopies, Format: f,
			Attestation: p.Options.AttestationDemand(s)})
	}
	return out, nil
}
