#!/usr/bin/env bash
# Installs what the tests run for real and cannot build themselves: PostgreSQL, redis-server, a C compiler (race detector, PKCS#11), Node.js
# and the npm clients of the end-to-end tests. What is there already stays. The tests start private servers; services that a package
# starts by itself are not used.
set -euo pipefail
cd "$(dirname "$0")/../.."

has() { command -v "$1" >/dev/null; }

has_postgres() {
    has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null || compgen -G '/usr/local/opt/postgresql*/bin/initdb' >/dev/null
}

debian=() brew=()
has_postgres || { debian+=(postgresql) brew+=(postgresql); }
has redis-server || { debian+=(redis-server) brew+=(redis); }
has cc || has gcc || debian+=(build-essential)
has node || { debian+=(nodejs) brew+=(node); }
has npm || debian+=(npm)

if [ ${#debian[@]} -gt 0 ]; then
    if has apt-get; then
        as_root=()
        [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
        echo "== components: installing ${debian[*]}"
        "${as_root[@]}" apt-get update -qq
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${debian[@]}"
    elif has brew; then
        echo "components: missing; install them with: brew install ${brew[*]}" >&2
        exit 1
    else
        echo "components: missing; install the equivalents of these Debian packages: ${debian[*]}" >&2
        exit 1
    fi
fi

npm_folder=internal/e2e/npm
if [ -f "$npm_folder/package-lock.json" ] && [ ! "$npm_folder/node_modules/.package-lock.json" -nt "$npm_folder/package-lock.json" ]; then
    echo "== components: npm clients of the end-to-end tests"
    npm ci --prefix "$npm_folder" --no-audit --no-fund --ignore-scripts
fi
