package issuer

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/mdocket/mdocket/internal/domain"
)

// Attestors is whose key attestations the authority trusts (E3).
type Attestors struct {
	Certificates []*x509.Certificate // of attestors, or of those who certify them; none = nobody is trusted
	Most         domain.Resistances  // what their attestations are believed, at most
}

// pool gives the certificates in the form that chains are verified with.
func (a Attestors) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range a.Certificates {
		pool.AddCert(c)
	}
	return pool
}

// at says what attestors can be trusted in at a time. A certificate that is not valid then leads nowhere.
func (a Attestors) at(now time.Time) domain.Attestors {
	valid := slices.ContainsFunc(a.Certificates, func(c *x509.Certificate) bool { return !now.Before(c.NotBefore) && !now.After(c.NotAfter) })
	return domain.Attestors{Trusted: valid, Most: a.Most}
}

// attestationDemand is what the keys for a document of the profile must be attested now.
func (is *Issuer) attestationDemand(ctx context.Context, p domain.Profile) (domain.Resistances, error) {
	s, err := loadSettings(ctx, is.Store.Queries)
	return p.Options.AttestationDemand(s), err
}

// checkAttestations refuses keys that are not attested as the profile and the settings demand. It gives what is known of the keys, without
// repetitions.
func (is *Issuer) checkAttestations(ctx context.Context, p domain.Profile, keys []WalletKey) ([]domain.Attestation, error) {
	demand, err := is.attestationDemand(ctx, p)
	if err != nil {
		return nil, err
	}
	var known []domain.Attestation
	for _, k := range keys {
		believed := k.Attestation
		if believed != nil {
			believed = &domain.Attestation{Resistances: k.Attestation.Weaker(is.Attestors.Most), Root: k.Attestation.Root}
		}
		if err := demand.CheckAttestation(believed); err != nil {
			return nil, err
		}
		if believed != nil && !slices.Contains(known, *believed) {
			known = append(known, *believed)
		}
	}
	return known, nil
}

// noteAttestations adds to an audit entry what was known of the keys.
func noteAttestations(e *domain.AuditEntry, known []domain.Attestation) error {
	if len(known) == 0 {
		return nil
	}
	form, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("write attestations: %w", err)
	}
	if e.Changes == nil {
		e.Changes = map[string]domain.Change{}
	}
	e.Changes["key_attestation"] = domain.Change{After: string(form)}
	return nil
}

// WarnOfUnmetDemands logs what is demanded of key attestations and no wallet can meet with the configuration that the process was started
// with: what was accepted under another configuration stays in force, and wallets are refused.
func (is *Issuer) WarnOfUnmetDemands(ctx context.Context) error {
	s, err := loadSettings(ctx, is.Store.Queries)
	if err != nil {
		return err
	}
	profiles, err := is.Store.Profiles(ctx)
	if err != nil {
		return fmt.Errorf("list profiles: %w", err)
	}
	attestors := is.Attestors.at(is.Now())
	var problems domain.Problems
	attestors.CheckSettings(&problems, s)
	for _, p := range problems {
		is.Log.WarnContext(ctx, "no document can be collected", "setting", p.Field, "problem", p.Problem)
	}
	for _, profile := range profiles {
		problems = nil
		attestors.CheckProfile(&problems, profile.Options)
		for _, p := range problems {
			is.Log.WarnContext(ctx, "no document of the profile can be collected", "profile", profile.Name, "option", p.Field, "problem", p.Problem)
		}
	}
	return nil
}
