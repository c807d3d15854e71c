#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (10s when unset), one after the other.
set -euo pipefail
cd "$(dirname "$0")/../.."

go list -f '{{$dir := .Dir}}{{range .TestGoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}' ./... |
    sort -u | while read -r file; do
    [ -n "$file" ] || continue
    sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
        echo "== fuzz: $(basename "$(dirname "$file")") $target"
        go test "$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" </dev/null
    done
done
