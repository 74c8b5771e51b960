.DEFAULT_GOAL := help
.PHONY: help run test lint bench fmt

help: ## Say what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: ## Build, check this host, run one command in a shell, show its timeline, leave nothing behind
	@scripts/run

test: ## Install what the tests need and run all of them
	@scripts/test

lint: ## Formatting, clippy as law, licences and sources of dependencies
	@scripts/lint

bench: ## Measure against the peers and write bench/results.json (ARGS="--only P1" or "--p12")
	@scripts/bench $(ARGS)

fmt: ## Format the sources
	cargo fmt --all
