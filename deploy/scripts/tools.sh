#!/usr/bin/env bash
# Installs the programs that building, checking and testing need into bin/: the Temporal CLI, golangci-lint and workflowcheck.
# Names as arguments choose some of them; none means all. A program that is there in the right version stays.
set -euo pipefail
cd "$(dirname "$0")/../.."

temporal_version=v1.5.1 # later releases cannot be built with `go install`
golangci_version=v2.15.0
workflowcheck_version=v0.6.0

# built_as FILE VERSION: FILE is a Go program of that module version.
built_as() {
    [ -x "$1" ] && go version -m "$1" 2>/dev/null | grep -qE "^[[:space:]]+mod[[:space:]]+[^[:space:]]+[[:space:]]+$2([[:space:]]|\$)"
}

install_go() { # NAME PACKAGE VERSION REMARK
    if built_as "bin/$1" "$3"; then
        return
    fi
    echo "== tools: building $1 $3$4"
    GOBIN="$PWD/bin" go install "$2@$3"
}

install_temporal() {
    if [ -x bin/temporal ]; then
        return
    fi
    rm -f bin/temporal
    local on_path
    if on_path=$(command -v temporal); then
        echo "== tools: using $on_path"
        ln -sf "$on_path" bin/temporal
        return
    fi
    install_go temporal github.com/temporalio/cli/cmd/temporal "$temporal_version" " (once; takes about five minutes)"
}

mkdir -p bin
for tool in "${@:-all}"; do
    case $tool in
    all)
        install_temporal
        deploy/scripts/tools.sh golangci-lint workflowcheck
        ;;
    temporal) install_temporal ;;
    golangci-lint)
        install_go golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$golangci_version" " (once; takes a few minutes)"
        ;;
    workflowcheck)
        install_go workflowcheck go.temporal.io/sdk/contrib/tools/workflowcheck "$workflowcheck_version" ""
        ;;
    *)
        echo "tools: no such tool: $tool" >&2
        exit 2
        ;;
    esac
done
