package statuslist

// DecodeUnverifiedCWT opens the reading of a token without its signature to the tests: the draft's example names no certificate.
func DecodeUnverifiedCWT(data []byte) (*Token, error) {
	message, err := parseCWT(data, 0)
	if err != nil {
		return nil, err
	}
	return decodeCWT(message, 0)
}

// DecodeClaimsCWT and DecodeClaimsJWT open the reading of claims to the fuzzers.
func DecodeClaimsCWT(payload []byte) (*Token, error) {
	message, err := parseCWT(payload, 1<<16)
	if err != nil {
		return nil, err
	}
	return decodeCWT(message, 1<<16)
}

// DecodeClaimsJWT reads the claims of a token in JWT format.
func DecodeClaimsJWT(payload []byte) (*Token, error) { return decodeJWT(payload, 1<<16) }
