// Package mdoc builds, signs, parses and verifies the bytes of a mobile document (mdoc) as ISO/IEC 18013-5 defines them:
// IssuerSigned with its IssuerSignedItems, the mobile security object (MSO) and issuerAuth, and the DeviceResponse in which a
// holder presents it.
//
// It is pure: it reads no clock, no file and no network. Time, randomness and keys are handed in. It does not know what a data
// element means (that is the document format's matter), it does not issue certificates, it does not fetch status lists, and it
// does not encrypt or transport anything.
//
// Signed bytes are never encoded a second time: items, the MSO and issuerAuth stay as they were received.
package mdoc
