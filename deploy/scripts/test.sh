#!/usr/bin/env bash
# Runs every Go test. Packages run with the race detector but for those whose tests are many and mostly wait for databases: of these, the tests that
# start goroutines run once more with it, and the races (TestRace…) only with it. The end-to-end tests run without, since they run the built program and measure it.
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

# parallel PACKAGE: a pattern of the tests of a package that start goroutines, and of the races (TestRace…), for which one function starts them.
parallel() {
    awk '
        /^func / { name = ""; if (match($0, /^func (Test[A-Za-z0-9_]+)\(/)) { split($0, part, /[ (]/); name = part[2] } }
        name ~ /^TestRace/ || name != "" && /\.Go\(|go func|sync\.WaitGroup|errgroup/ { found[name] = 1 }
        END { sep = "^("; for (n in found) { printf "%s%s", sep, n; sep = "|" } print ")$" }
    ' "$(go list -f '{{.Dir}}' "$1")"/*_test.go
}

go build -o build/withservices ./internal/testenv/withservices
end_to_end=() large=() others=()
for package in $(go list ./...); do
    case $package in
    */internal/e2e | */internal/e2e/*) end_to_end+=("$package") ;;
    */internal/issuer | */internal/store | */api/operator | */internal/scenarios) large+=("$package") ;;
    *) others+=("$package") ;;
    esac
done

failed=0
echo "== test: ${#large[@]} large packages"
run -skip '^TestRace' "${large[@]}" || failed=1
echo "== test: ${#others[@]} packages with the race detector"
run -race "${others[@]}" || failed=1
for package in "${large[@]}"; do
    pattern=$(parallel "$package")
    case $pattern in
    "^("*) run -race -run "$pattern" "$package" || failed=1 ;;
    esac
done
echo "== test: end to end"
run "${end_to_end[@]}" || failed=1

echo "== test: summary"
grep -E '^(ok|FAIL)[[:space:]]|^panic:|^[[:space:]]*--- FAIL' "$log" || true
echo "== test: $(grep -c '^ok' "$log" || true) packages ok, $(grep -cE '^FAIL[[:space:]]+[^[:space:]]' "$log" || true) failed"
exit "$failed"
