package issuer_test

import (
	"crypto/x509"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdocket/mdocket/internal/domain"
	"github.com/mdocket/mdocket/internal/issuer"
	"github.com/mdocket/mdocket/internal/issuer/issuertest"
	"github.com/mdocket/mdocket/internal/store"
	"github.com/mdocket/mdocket/internal/wallet"
)

// trusting gives attestors that are believed up to the resistances.
func trusting(t testing.TB, most domain.Resistances) issuer.Attestors {
	t.Helper()
	_, root, err := wallet.NewAttestor(time.Now())
	require.NoError(t, err)
	return issuer.Attestors{Certificates: []*x509.Certificate{root}, Most: most}
}

func resistances(storage, authentication domain.AttackPotential) domain.Resistances {
	return domain.Resistances{KeyStorage: storage, UserAuthentication: authentication}
}

// demanding makes a profile demand attestations.
func demanding(r domain.Resistances) func(*domain.ProfileOptions) {
	return func(o *domain.ProfileOptions) { o.KeyAttestation = r }
}

func biometric(t testing.TB, f *issuertest.Fixture, p domain.AttackPotential) error {
	t.Helper()
	s, err := f.Issuer.Settings(t.Context(), f.Admin())
	require.NoError(t, err)
	s.BiometricVerification = p
	_, err = f.Issuer.ChangeSettings(t.Context(), f.Admin(), s)
	return err
}

// Settings and profiles are refused alike where no wallet could meet them, and nothing changes (B15).
func TestDemandsThatNoWalletCouldMeet(t *testing.T) {
	most := resistances(domain.PotentialHigh, domain.PotentialModerate)
	for name, c := range map[string]struct {
		attestors issuer.Attestors
		later     time.Duration // after the certificates were made
		demand    domain.AttackPotential
		says      string // empty = accepted
	}{
		"nobody is trusted":           {issuer.Attestors{Most: most}, 0, domain.PotentialBasic, "attestation.roots_dir"},
		"the certificate has run out": {trusting(t, most), 2 * 366 * 24 * time.Hour, domain.PotentialBasic, "attestation.roots_dir"},
		"more than is believed":       {trusting(t, most), 0, domain.PotentialHigh, "at most iso_18045_moderate"},
		"nothing of the kind is trusted": {trusting(t, resistances(domain.PotentialHigh, "")), 0, domain.PotentialBasic,
			"attestation.user_authentication"},
		"no level":               {trusting(t, most), 0, "face", "must be iso_18045_basic"},
		"as much as is believed": {trusting(t, most), 0, domain.PotentialModerate, ""},
		"off":                    {issuer.Attestors{}, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := issuertest.New(t, issuertest.Options{Attestors: c.attestors})
			f.Clock.Advance(c.later)
			head := f.AuditHead(t)
			options := domain.ProfileOptions{DisplayName: "x", Format: "staff-badge", KeyAttestation: resistances("", c.demand)}
			_, ofProfile := f.Issuer.CreateProfile(t.Context(), f.Admin(), "", issuer.SaveProfile{Name: "x", Options: options})
			ofSettings := biometric(t, f, c.demand)
			if c.says == "" {
				require.NoError(t, ofSettings)
				require.NoError(t, ofProfile)
				return
			}
			codeIs(t, domain.CodeInvalid, ofSettings)
			codeIs(t, domain.CodeInvalid, ofProfile)
			require.Equal(t, []string{"biometric_verification"}, fieldsOf(t, ofSettings))
			require.Equal(t, []string{"key_attestation.user_authentication"}, fieldsOf(t, ofProfile))
			require.ErrorContains(t, ofSettings, c.says)
			require.ErrorContains(t, ofProfile, c.says)
			require.Equal(t, head, f.AuditHead(t))
			s, err := f.Issuer.Settings(t.Context(), f.Admin())
			require.NoError(t, err)
			require.Equal(t, domain.DefaultSettings(), s)
		})
	}
}

// A profile that was accepted before is held to the same when it is changed.
func TestAChangedProfileIsHeldToTheAttestors(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Attestors: trusting(t, resistances(domain.PotentialModerate, ""))})
	p := f.Profile(t, "mdl")
	p.Options.KeyAttestation = resistances(domain.PotentialHigh, domain.PotentialBasic)
	_, err := f.Issuer.ChangeProfile(t.Context(), f.Admin(), p.ID, 1, issuer.SaveProfile{Options: p.Options})
	codeIs(t, domain.CodeInvalid, err)
	require.ElementsMatch(t, []string{"key_attestation.key_storage", "key_attestation.user_authentication"}, fieldsOf(t, err))
	p.Options.KeyAttestation = resistances(domain.PotentialModerate, "")
	_, err = f.Issuer.ChangeProfile(t.Context(), f.Admin(), p.ID, 1, issuer.SaveProfile{Options: p.Options})
	require.NoError(t, err)
}

func TestTheSettingIsAudited(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Attestors: trusting(t, resistances("", domain.PotentialHigh))})
	require.NoError(t, biometric(t, f, domain.PotentialModerate))
	entries, err := f.Issuer.Audit(t.Context(), f.Admin(), issuer.AuditFilter{Action: "settings.change"}, 0, 0)
	require.NoError(t, err)
	require.Equal(t, domain.Change{Before: `""`, After: `"iso_18045_moderate"`}, entries[0].Changes["biometric_verification"])
}

// attest gives the keys an attestation.
func attest(keys []issuer.WalletKey, r domain.Resistances, root string) []issuer.WalletKey {
	out := make([]issuer.WalletKey, len(keys))
	for i, k := range keys {
		k.Attestation = &domain.Attestation{Resistances: r, Root: root}
		out[i] = k
	}
	return out
}

func TestKeysAreHeldToTheDemand(t *testing.T) {
	eachBackendWith(t, issuertest.Options{Attestors: trusting(t, resistances(domain.PotentialModerate, domain.PotentialHigh))},
		func(t *testing.T, f *issuertest.Fixture) {
			profile := f.Profile(t, "mdl", demanding(resistances(domain.PotentialModerate, "")))
			require.NoError(t, biometric(t, f, domain.PotentialEnhancedBasic))
			r := newRequest(t, f, f.Person(t), profile)
			token := redeem(t, f, r.ID)
			access, err := f.Issuer.CheckAccess(t.Context(), token)
			require.NoError(t, err)
			require.NotNil(t, access.AttestationRoots)
			keys, head := walletKeys(t, f, 2), f.AuditHead(t)
			good := resistances(domain.PotentialHigh, domain.PotentialEnhancedBasic)
			for name, bad := range map[string][]issuer.WalletKey{
				"none":               keys,
				"storage":            attest(keys, resistances(domain.PotentialEnhancedBasic, domain.PotentialHigh), "r"),
				"nothing of storage": attest(keys, resistances("", domain.PotentialHigh), "r"),
				"authentication":     attest(keys, resistances(domain.PotentialHigh, domain.PotentialBasic), "r"),
				"one of two":         append(attest(keys[:1], good, "r"), keys[1]),
			} {
				_, err := collect(t.Context(), f, profile, token, bad)
				codeIs(t, domain.CodeKeyNotAttested, err, name)
			}
			require.Equal(t, head, f.AuditHead(t))
			open, err := f.Store.Request(t.Context(), r.ID)
			require.NoError(t, err)
			require.Equal(t, domain.RequestAwaitingCollection, open.State)

			signed, err := collect(t.Context(), f, profile, token, attest(keys, good, "0a"))
			require.NoError(t, err)
			again, err := collect(t.Context(), f, profile, token, attest(keys, good, "0a"))
			require.NoError(t, err)
			require.Equal(t, signed, again)
			entries, err := f.Issuer.Audit(t.Context(), f.Admin(), issuer.AuditFilter{Action: "request.issue"}, 0, 0)
			require.NoError(t, err)
			var noted []domain.Attestation
			require.NoError(t, json.Unmarshal([]byte(entries[0].Changes["key_attestation"].After), &noted))
			believed := resistances(domain.PotentialModerate, domain.PotentialEnhancedBasic)
			require.Equal(t, []domain.Attestation{{Root: "0a", Resistances: believed}}, noted, "once for all keys")
		})
}

// What the configuration believes at the most holds for what was accepted under another one.
func TestAttestationsAreBelievedUpToAPoint(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Attestors: trusting(t, resistances(domain.PotentialHigh, domain.PotentialHigh))})
	profile := f.Profile(t, "mdl", demanding(resistances(domain.PotentialHigh, "")))
	require.NoError(t, biometric(t, f, domain.PotentialHigh))
	r := newRequest(t, f, f.Person(t), profile)
	token, keys := redeem(t, f, r.ID), attest(walletKeys(t, f, 1), resistances(domain.PotentialHigh, domain.PotentialHigh), "r")

	less := f.Deps
	less.Attestors.Most.KeyStorage = domain.PotentialModerate
	nobody := f.Deps
	nobody.Attestors.Certificates = nil
	lowered := issuer.New(f.Config, less)
	_, err := lowered.Collect(t.Context(), issuer.Collect{AccessToken: token, ConfigurationID: "mdl", Keys: keys})
	codeIs(t, domain.CodeKeyNotAttested, err)
	for name, c := range map[string]struct {
		issuer *issuer.Issuer
		logged []string
	}{
		"as it was": {f.Issuer, nil},
		"lowered":   {lowered, []string{`"option":"key_attestation.key_storage"`, `"profile":"mdl"`}},
		"nobody":    {issuer.New(f.Config, nobody), []string{`"setting":"biometric_verification"`, `"option":"key_attestation.key_storage"`}},
	} {
		before := len(f.Logs.String())
		require.NoError(t, c.issuer.WarnOfUnmetDemands(t.Context()))
		logged := f.Logs.String()[before:]
		if c.logged == nil {
			require.Empty(t, logged, name)
		}
		for _, text := range c.logged {
			require.Contains(t, logged, text, name)
		}
	}
	_, err = f.Issuer.Collect(t.Context(), issuer.Collect{AccessToken: token, ConfigurationID: "mdl", Keys: keys})
	require.NoError(t, err)
}

// Without a demand nobody asks for attestations, whoever is trusted.
func TestNoDemandNoAttestation(t *testing.T) {
	f := issuertest.New(t, issuertest.Options{Attestors: trusting(t, resistances(domain.PotentialHigh, domain.PotentialHigh))})
	profile := f.Profile(t, "mdl")
	r := newRequest(t, f, f.Person(t), profile)
	token := redeem(t, f, r.ID)
	access, err := f.Issuer.CheckAccess(t.Context(), token)
	require.NoError(t, err)
	require.Nil(t, access.AttestationRoots)
	_, err = collect(t.Context(), f, profile, token, walletKeys(t, f, 1))
	require.NoError(t, err)
	entries, err := f.Issuer.Audit(t.Context(), f.Admin(), issuer.AuditFilter{Action: "request.issue"}, 0, 0)
	require.NoError(t, err)
	require.NotContains(t, entries[0].Changes, "key_attestation")
	docs, err := f.Issuer.Documents(t.Context(), f.Admin(), store.DocumentFilter{}, "", 0)
	require.NoError(t, err)
	require.Len(t, docs, 1)
}
