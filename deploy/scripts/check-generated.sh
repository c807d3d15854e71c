#!/usr/bin/env bash
# Checks that every generated file in the tree is what the program of this tree makes. With "write" it makes them anew.
set -euo pipefail
cd "$(dirname "$0")/../.."

spec=docs/openapi.yaml
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
bin/mdocket openapi >"$fresh"
if [ "${1:-}" = write ]; then
    cat "$fresh" >"$spec"
elif ! diff -u "$spec" "$fresh"; then
    echo "$spec is not what the program makes: run \`make generate\`" >&2
    exit 1
fi
