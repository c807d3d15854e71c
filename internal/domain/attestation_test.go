package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
)

const (
	basic, enhanced = domain.PotentialBasic, domain.PotentialEnhancedBasic
	moderate, high  = domain.PotentialModerate, domain.PotentialHigh
)

// The order is that of ISO/IEC 18045.
func TestAttackPotentialsAreOrdered(t *testing.T) {
	require.Equal(t, []domain.AttackPotential{"iso_18045_basic", "iso_18045_enhanced-basic", "iso_18045_moderate", "iso_18045_high"},
		domain.AttackPotentials())
	for i, p := range domain.AttackPotentials() {
		for j, least := range domain.AttackPotentials() {
			require.Equal(t, i >= j, p.Meets(least), "%s meets %s", p, least)
		}
		require.True(t, p.Valid())
		require.True(t, p.Meets(""), "nothing is demanded")
		require.False(t, domain.AttackPotential("").Meets(p))
		require.False(t, domain.AttackPotential("unknown").Meets(p))
		require.Equal(t, domain.AttackPotentials()[i:], p.Accepted())
	}
	require.False(t, domain.AttackPotential("high").Valid())
	require.False(t, high.Meets("unknown"), "what is not known cannot be met")
	require.Nil(t, domain.AttackPotential("").Accepted())
}

func TestStatedResistances(t *testing.T) {
	for name, c := range map[string]struct {
		storage, authentication []string
		want                    domain.Resistances
	}{
		"nothing": {nil, nil, domain.Resistances{}},
		"one each": {[]string{"iso_18045_moderate"}, []string{"iso_18045_basic"},
			domain.Resistances{KeyStorage: moderate, UserAuthentication: basic}},
		"strongest of storage": {[]string{"iso_18045_basic", "iso_18045_high", "iso_18045_moderate"}, nil, domain.Resistances{KeyStorage: high}},
		"weakest of methods": {nil, []string{"iso_18045_high", "iso_18045_enhanced-basic"},
			domain.Resistances{UserAuthentication: enhanced}},
		"other order":            {nil, []string{"iso_18045_basic", "iso_18045_high"}, domain.Resistances{UserAuthentication: basic}},
		"unknown storage":        {[]string{"https://example.org/tee", "iso_18045_basic"}, nil, domain.Resistances{KeyStorage: basic}},
		"unknown method":         {nil, []string{"iso_18045_high", "https://example.org/pin"}, domain.Resistances{}},
		"unknown method first":   {nil, []string{"https://example.org/pin", "iso_18045_high"}, domain.Resistances{}},
		"in other letters":       {[]string{"ISO_18045_HIGH"}, []string{"ISO_18045_HIGH"}, domain.Resistances{}},
		"nothing but an unknown": {[]string{"x"}, []string{"x"}, domain.Resistances{}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, domain.StatedResistances(c.storage, c.authentication))
		})
	}
}

// What profile and setting demand together, and what meets it.
func TestAttestationTable(t *testing.T) {
	for name, c := range map[string]struct {
		profile domain.Resistances
		setting domain.AttackPotential
		want    domain.Resistances
	}{
		"nothing":              {domain.Resistances{}, "", domain.Resistances{}},
		"setting alone":        {domain.Resistances{}, moderate, domain.Resistances{UserAuthentication: moderate}},
		"profile alone":        {domain.Resistances{KeyStorage: high}, "", domain.Resistances{KeyStorage: high}},
		"profile demands more": {domain.Resistances{UserAuthentication: high}, basic, domain.Resistances{UserAuthentication: high}},
		"setting demands more": {domain.Resistances{KeyStorage: basic, UserAuthentication: basic}, high,
			domain.Resistances{KeyStorage: basic, UserAuthentication: high}},
		"setting beside storage": {domain.Resistances{KeyStorage: high}, basic, domain.Resistances{KeyStorage: high, UserAuthentication: basic}},
	} {
		t.Run(name, func(t *testing.T) {
			demand := domain.ProfileOptions{KeyAttestation: c.profile}.AttestationDemand(domain.Settings{BiometricVerification: c.setting})
			require.Equal(t, c.want, demand)
			require.Equal(t, c.want != domain.Resistances{}, demand.Demanded())
			if !demand.Demanded() {
				require.NoError(t, demand.CheckAttestation(nil))
				return
			}
			require.Equal(t, domain.CodeKeyNotAttested, domain.CodeOf(demand.CheckAttestation(nil)))
			for _, storage := range append(domain.AttackPotentials(), "") {
				for _, authentication := range append(domain.AttackPotentials(), "") {
					err := demand.CheckAttestation(&domain.Attestation{
						Resistances: domain.Resistances{KeyStorage: storage, UserAuthentication: authentication}})
					if storage.Meets(c.want.KeyStorage) && authentication.Meets(c.want.UserAuthentication) {
						require.NoError(t, err)
						continue
					}
					require.Equal(t, domain.CodeKeyNotAttested, domain.CodeOf(err), "%q %q", storage, authentication)
				}
			}
		})
	}
}

// Settings and profiles are held to the same: what no wallet could meet is refused, and the problem says what to do.
func TestDemandsThatNobodyCouldMeet(t *testing.T) {
	trusted := domain.Attestors{Trusted: true, Most: domain.Resistances{KeyStorage: high, UserAuthentication: moderate}}
	for name, c := range map[string]struct {
		attestors domain.Attestors
		demand    domain.AttackPotential
		says      string // empty = it can be met
	}{
		"nothing, and nobody is trusted": {domain.Attestors{}, "", ""},
		"nobody is trusted":              {domain.Attestors{Most: trusted.Most}, basic, "attestation.roots_dir"},
		"as far as trusted":              {trusted, moderate, ""},
		"less":                           {trusted, basic, ""},
		"more than trusted":              {trusted, high, "must be at most iso_18045_moderate"},
		"not trusted in this": {domain.Attestors{Trusted: true, Most: domain.Resistances{KeyStorage: high}}, basic,
			"attestation.user_authentication"},
	} {
		t.Run(name, func(t *testing.T) {
			var ofSettings, ofProfile domain.Problems
			c.attestors.CheckSettings(&ofSettings, domain.Settings{BiometricVerification: c.demand})
			c.attestors.CheckProfile(&ofProfile, domain.ProfileOptions{KeyAttestation: domain.Resistances{UserAuthentication: c.demand}})
			if c.says == "" {
				require.Empty(t, ofSettings)
				require.Empty(t, ofProfile)
				return
			}
			require.Equal(t, []string{"biometric_verification"}, fields(ofSettings))
			require.Equal(t, []string{"key_attestation.user_authentication"}, fields(ofProfile))
			require.Equal(t, ofSettings[0].Problem, ofProfile[0].Problem)
			require.Contains(t, ofSettings[0].Problem, c.says)
		})
	}
	var ps domain.Problems
	domain.Attestors{Trusted: true, Most: domain.Resistances{KeyStorage: basic}}.CheckProfile(&ps,
		domain.ProfileOptions{KeyAttestation: domain.Resistances{KeyStorage: enhanced}})
	require.Equal(t, []string{"key_attestation.key_storage"}, fields(ps))
	require.Contains(t, ps[0].Problem, "raise attestation.key_storage")
}

func TestAttestationValuesAreChecked(t *testing.T) {
	o := domain.ProfileOptions{DisplayName: "x", Format: "iso-mdl",
		KeyAttestation: domain.Resistances{KeyStorage: "high", UserAuthentication: "face"}}
	o.Defaults()
	require.Equal(t, []string{"key_attestation.key_storage", "key_attestation.user_authentication"}, fields(domain.CheckProfile("x", o)))
	s := domain.DefaultSettings()
	require.Empty(t, s.BiometricVerification, "it is off")
	s.BiometricVerification = "on"
	require.Equal(t, []string{"biometric_verification"}, fields(s.Check()))
	// A value that is none is one problem, not two.
	var ps domain.Problems
	domain.Attestors{}.CheckSettings(&ps, s)
	domain.Attestors{}.CheckProfile(&ps, o)
	require.Empty(t, ps)
}
