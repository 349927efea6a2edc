# Two commands matter to a newcomer: `make demo` and `make test`. Both set up all they need (root on Debian).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help setup demo demo-down test check bench generate images push clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: node_modules/.package-lock.json ## Install the exact toolchain of package-lock.json

node_modules/.package-lock.json: package.json package-lock.json
	@bash build/bootstrap.sh

demo: setup ## Bring up a cluster, install everything, call a server as alice and bob (CLUSTER=current [REGISTRY=...] uses your current context)
	@node test/demo/demo.ts up

demo-down: setup ## Remove all that the demo made
	@node test/demo/demo.ts down

test: setup ## Run every test: structure, unit, integration, end-to-end
	@node test/run.ts

check: setup ## Types, lint, format, generated files, dead code, structure
	@npm run --silent check

bench: setup ## Measure; prints the tables of docs/performance.md
	@node test/bench/run.ts

generate: setup ## Types and chart templates from crds/*.yaml
	@npm run --silent generate

images: setup ## Build the images: make images REGISTRY=registry.example/team [TAG=0.1.0]
	@node build/images.ts build

push: setup ## Push what `make images` built
	@node build/images.ts push

clean: ## Remove build results (not the cache of downloaded and compiled tools)
	@rm -rf dist coverage
