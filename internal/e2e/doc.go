// Package e2e holds the end-to-end tests: they run the built program and the parts around it for real (PostgreSQL, Redis, Temporal,
// SMTP, an HTTP gateway for SMS, wallets, verifiers of others) and look at them from outside. What one package does by itself is tested
// in that package.
//
// The folder npm pins the verifiers of others. Its override of cbor-extract, an optional accelerator, names the newest release whose
// builds for every platform are published.
package e2e
