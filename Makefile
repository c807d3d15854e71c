# Every target works on a fresh clone with Go alone; what else is needed is installed by `tools` (into bin/) and `components` (by the
# system's package manager). The recipes are in deploy/scripts.

.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
ARGS ?=
FUZZTIME ?= 10s

# A checkout owned by someone else, or none at all, must build too: no version-control stamp.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

.NOTPARALLEL:
.PHONY: help tools temporal build run demo check generate test components bench fuzz clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

build: ## Build bin/mdocket
	@echo "== build"
	@mkdir -p bin
	go build -buildvcs=false -o bin/mdocket ./cmd/mdocket

run: build temporal ## Build and start everything on embedded defaults, data in ./data (ARGS="…" adds flags)
	bin/mdocket standalone --data ./data $(ARGS)

demo: build temporal ## Issue a document from request to wallet (ARGS="--keep" leaves it running)
	bin/mdocket demo $(ARGS)

test: components tools check ## Install what is missing, check, and run all tests
	@deploy/scripts/test.sh

check: build ## Format, linters, workflow determinism, generated files
	@deploy/scripts/tools.sh golangci-lint workflowcheck
	@deploy/scripts/check.sh

generate: build ## Make the generated files anew
	@deploy/scripts/check-generated.sh write

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@FUZZTIME=$(FUZZTIME) deploy/scripts/fuzz.sh

bench: build temporal components ## Measure (a quarter of an hour on two quiet processors); writes build/bench.json and docs/performance.md
	@mkdir -p build
	go build -o build/withservices ./internal/testenv/withservices
	build/withservices sh -c 'bin/mdocket bench --database "$$MDOCKET_TEST_POSTGRES" --json build/bench.json --markdown docs/performance.md $(ARGS)'

tools: ## Build the Temporal CLI and the checkers into bin/ (the first time takes minutes)
	@deploy/scripts/tools.sh

temporal:
	@deploy/scripts/tools.sh temporal

components: ## Install PostgreSQL, redis-server, Node.js and the npm clients when missing
	@deploy/scripts/components.sh

clean: ## Remove what was built (not ./data)
	rm -rf bin build
