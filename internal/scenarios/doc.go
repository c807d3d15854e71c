// Package scenarios holds one test for each requirement of the product, named after it, on a standalone server with everything in it: through HTTP
// as operators, approvers, holders, wallets and verifiers use it. docs/features.md maps every requirement to its scenario; a test holds the two
// together. What a single rule does in every corner is tested where the rule is.
package scenarios
