package oid4vci

// VerifyKeyAttestation checks an attestation without a proof around it.
func (v ProofVerifier) VerifyKeyAttestation(attestation string) (KeyAttestation, error) {
	return v.verifyKeyAttestation(attestation)
}

// ReadKeyAttestation reads the claims of an attestation whose signature is taken for good.
func (v ProofVerifier) ReadKeyAttestation(payload []byte) (a KeyAttestation, err error) {
	claims, err := members(payload, maxProof)
	if err != nil {
		return a, err
	}
	if err := v.checkAttestationTimes(claims); err != nil {
		return a, err
	}
	return a, a.read(claims)
}
