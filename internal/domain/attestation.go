package domain

import "slices"

// AttackPotential is a resistance to attack (ISO/IEC 18045) in the words of OpenID4VCI 1.0, D.2. The empty one demands nothing and states
// nothing.
type AttackPotential string

// The resistances.
const (
	PotentialBasic         AttackPotential = "iso_18045_basic"
	PotentialEnhancedBasic AttackPotential = "iso_18045_enhanced-basic"
	PotentialModerate      AttackPotential = "iso_18045_moderate"
	PotentialHigh          AttackPotential = "iso_18045_high"
)

// AttackPotentials lists the resistances, weakest first.
func AttackPotentials() []AttackPotential {
	return []AttackPotential{PotentialBasic, PotentialEnhancedBasic, PotentialModerate, PotentialHigh}
}

// potentialTexts says what a resistance may be.
const potentialTexts = "must be iso_18045_basic, iso_18045_enhanced-basic, iso_18045_moderate or iso_18045_high, or empty"

// rank orders resistances; 0 for none and for one that is not known.
func (p AttackPotential) rank() int { return slices.Index(AttackPotentials(), p) + 1 }

// Valid says whether p is empty or one of the resistances.
func (p AttackPotential) Valid() bool { return p == "" || p.rank() > 0 }

// Meets says whether p is at least as strong as least.
func (p AttackPotential) Meets(least AttackPotential) bool {
	return least == "" || least.rank() > 0 && p.rank() >= least.rank()
}

// Accepted lists what meets p, weakest first; nil when p demands nothing.
func (p AttackPotential) Accepted() []AttackPotential {
	if p.rank() == 0 {
		return nil
	}
	return AttackPotentials()[p.rank()-1:]
}

// weaker and stronger choose between two resistances.
func (p AttackPotential) weaker(q AttackPotential) AttackPotential {
	if p.rank() < q.rank() {
		return p
	}
	return q
}

func (p AttackPotential) stronger(q AttackPotential) AttackPotential {
	if q.rank() > p.rank() {
		return q
	}
	return p
}

// Resistances are a key attestation's two: of the component that keeps a wallet's keys, and of how its user is authenticated before a key
// is used, be it by a biometric comparison or otherwise. As a demand they are the least, and both empty means that no attestation is asked
// for (B15, E3).
type Resistances struct {
	KeyStorage         AttackPotential `json:"key_storage,omitempty"`
	UserAuthentication AttackPotential `json:"user_authentication,omitempty"`
}

// Demanded says whether a key attestation is asked for.
func (r Resistances) Demanded() bool { return r != Resistances{} }

// Weaker takes the weaker of each.
func (r Resistances) Weaker(q Resistances) Resistances {
	return Resistances{KeyStorage: r.KeyStorage.weaker(q.KeyStorage), UserAuthentication: r.UserAuthentication.weaker(q.UserAuthentication)}
}

// StatedResistances reads the values of an attestation. Statements on one component add up, so that the strongest of key_storage counts.
// The values of user_authentication are of the methods that open the keys, any one of which is enough, so that the weakest counts, and a
// value that is not known is weaker than all.
func StatedResistances(keyStorage, userAuthentication []string) Resistances {
	var out Resistances
	for _, value := range keyStorage {
		out.KeyStorage = out.KeyStorage.stronger(AttackPotential(value))
	}
	for i, value := range userAuthentication {
		stated := AttackPotential(value)
		if stated.rank() == 0 {
			out.UserAuthentication = ""
			break
		}
		if i == 0 {
			out.UserAuthentication = stated
		}
		out.UserAuthentication = out.UserAuthentication.weaker(stated)
	}
	return out
}

// Attestation is what is known of a wallet's keys: the resistances that they are trusted to have and, as hex SHA-256, the trusted
// certificate.
type Attestation struct {
	Resistances
	Root string `json:"root"`
}

// AttestationDemand is what the keys of a profile's wallets must be attested: by the profile, and by the setting biometric_verification for
// every profile.
func (o ProfileOptions) AttestationDemand(s Settings) Resistances {
	demand := o.KeyAttestation
	demand.UserAuthentication = demand.UserAuthentication.stronger(s.BiometricVerification)
	return demand
}

// CheckAttestation refuses keys that are not attested as demanded; attested is nil for keys that come without a trusted attestation.
func (r Resistances) CheckAttestation(attested *Attestation) error {
	switch {
	case !r.Demanded():
		return nil
	case attested == nil:
		return Errorf(CodeKeyNotAttested, "a key attestation is needed for every key")
	case !attested.KeyStorage.Meets(r.KeyStorage):
		return Errorf(CodeKeyNotAttested, "the key attestation must state a key_storage of at least %s", r.KeyStorage)
	case !attested.UserAuthentication.Meets(r.UserAuthentication):
		return Errorf(CodeKeyNotAttested, "the key attestation must state a user_authentication of at least %s for every method",
			r.UserAuthentication)
	}
	return nil
}

// Attestors is whose key attestations the server is configured to trust: nobody, or somebody up to some resistances.
type Attestors struct {
	Trusted bool
	Most    Resistances
}

// checkDemand reports under the field a demand for a resistance that no wallet could meet; most is how far attestors are trusted in it, and
// setting where that is configured.
func (a Attestors) checkDemand(ps *Problems, field string, demand, most AttackPotential, setting string) {
	switch {
	case demand == "" || !demand.Valid():
	case !a.Trusted:
		ps.Add(field, "cannot be met by any wallet: no valid attestation certificate is trusted; put one into the folder that the "+
			"configuration names as attestation.roots_dir and restart, or leave it empty")
	case most == "":
		ps.Add(field, "cannot be met by any wallet: the configuration trusts no attestation in this; raise %s and restart, or leave it empty",
			setting)
	case !most.Meets(demand):
		ps.Add(field, "cannot be met by any wallet: must be at most %s, as far as the configuration trusts attestations; or raise %s and "+
			"restart", most, setting)
	}
}

// CheckProfile reports what a profile demands and no wallet could meet.
func (a Attestors) CheckProfile(ps *Problems, o ProfileOptions) {
	a.checkDemand(ps, "key_attestation.key_storage", o.KeyAttestation.KeyStorage, a.Most.KeyStorage, "attestation.key_storage")
	a.checkDemand(ps, "key_attestation.user_authentication", o.KeyAttestation.UserAuthentication, a.Most.UserAuthentication,
		"attestation.user_authentication")
}

// CheckSettings is the same for what the settings demand of every profile (B15).
func (a Attestors) CheckSettings(ps *Problems, s Settings) {
	a.checkDemand(ps, "biometric_verification", s.BiometricVerification, a.Most.UserAuthentication, "attestation.user_authentication")
}

func (r Resistances) check(ps *Problems, prefix string) {
	if !r.KeyStorage.Valid() {
		ps.Add(prefix+"key_storage", potentialTexts)
	}
	if !r.UserAuthentication.Valid() {
		ps.Add(prefix+"user_authentication", potentialTexts)
	}
}
