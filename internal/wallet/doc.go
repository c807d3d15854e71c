// Package wallet is mdocket's reference wallet: it collects mobile documents from an OpenID4VCI 1.0 issuer with the
// pre-authorized code flow, keeps them with their device keys in a folder, shows them, and replaces them by newer versions
// that the issuer has for them (refresh tokens). The demo, the tests and the load
// generator use it; it works with any conforming issuer of mso_mdoc documents, not with mdocket alone.
//
// Client offers the steps of the protocol one by one and keeps nothing. Wallet puts them together, keeps what a crash must
// not lose (Store), and repeats what a network may lose: a credential request that got no answer is sent again with the
// same device keys, so that the issuer answers with the same document.
//
// It is not a wallet for the public: device keys lie in files, without hardware protection or a user who confirms their
// use. Key attestations are made by an Attestor that states what it is told to. The wallet does not do the authorization
// code flow, DPoP, wallet attestations or encrypted messages, and says so (ErrUnsupported) when an issuer demands them.
// Addresses are https, or http on loopback hosts.
package wallet
