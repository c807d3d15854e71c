// Package oid4vci holds the messages of OpenID for Verifiable Credential Issuance 1.0 (OpenID4VCI) in the profile for
// ISO/IEC 18013-5 mobile documents (format mso_mdoc), and the checks on them that need nothing but the message itself.
// Issuer and wallet both use it: types with their JSON names, parsers that bound and check what comes from outside,
// builders for links and well-known addresses, key proofs of type jwt in both directions.
//
// It is not a server and not a client: it opens no connection, keeps no state and knows nothing of mdocket. Whether a
// code, a token or a nonce is good, how often a code may be tried and what a caller may collect is decided elsewhere.
// Neither does it decide whom to trust: an x5c chain in a key proof is a way to carry a key, nothing more, and whose key
// attestations count is said by the caller.
//
// Clause names in comments are those of OpenID4VCI 1.0 unless another document is named.
package oid4vci
