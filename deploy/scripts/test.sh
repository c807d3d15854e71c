#!/usr/bin/env bash
# Runs every Go test: all packages with the race detector, the end-to-end tests without it, since they run the built program and measure it.
# TESTFLAGS adds flags of `go test`. The last lines are the result of each package.
set -euo pipefail
cd "$(dirname "$0")/../.."

log=build/test.log
mkdir -p build
: >"$log"

# run ARGUMENTS: go test, shown as it runs and kept for the summary.
run() {
    # shellcheck disable=SC2086 # TESTFLAGS is a list
    build/withservices go test -timeout 20m ${TESTFLAGS:-} "$@" 2>&1 | tee -a "$log"
}

go build -o build/withservices ./internal/testenv/withservices
end_to_end=() others=()
for package in $(go list ./...); do
    case $package in
    */internal/e2e | */internal/e2e/*) end_to_end+=("$package") ;;
    *) others+=("$package") ;;
    esac
done

failed=0
echo "== test: ${#others[@]} packages with the race detector"
run -race "${others[@]}" || failed=1
if [ ${#end_to_end[@]} -gt 0 ]; then
    echo "== test: end to end"
    run "${end_to_end[@]}" || failed=1
fi

echo "== test: summary"
grep -E '^(ok|FAIL)[[:space:]]|^panic:|^[[:space:]]*--- FAIL' "$log" || true
echo "== test: $(grep -c '^ok' "$log" || true) packages ok, $(grep -cE '^FAIL[[:space:]]+[^[:space:]]' "$log" || true) failed"
exit "$failed"
