// Package domain holds what an issuing authority talks about: people, credential profiles, requests, documents, permissions and the
// rules between them. Plain types, state machines, rule checks and error codes; no I/O, no clock of its own, no randomness.
package domain
