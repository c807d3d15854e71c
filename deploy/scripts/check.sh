#!/usr/bin/env bash
# Checks that need no running component: formatting, linters, the determinism of workflows, generated files.
set -euo pipefail
cd "$(dirname "$0")/../.."

echo "== check: gofmt"
unformatted=$(go list -f '{{.Dir}}' ./... | xargs gofmt -l)
if [ -n "$unformatted" ]; then
    echo "not formatted (run gofmt -w):" >&2
    echo "$unformatted" >&2
    exit 1
fi

echo "== check: go vet"
go vet ./...

echo "== check: golangci-lint"
bin/golangci-lint run

echo "== check: workflowcheck"
bin/workflowcheck ./workflows/...

echo "== check: generated files"
deploy/scripts/check-generated.sh
