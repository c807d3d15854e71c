// Package standalone holds the embedded defaults that let one process on a fresh machine do without PostgreSQL, Redis, a Temporal cluster,
// a mail server and an SMS gateway. It is for trying mdocket out, for small sites and for tests; production names real components instead.
package standalone
