.DEFAULT_GOAL := help
.PHONY: help run test test-aws lint bench fmt image synth deploy destroy

help: ## Say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: ## Build, check this host, run one command in a shell, show its timeline, leave nothing behind
	@scripts/run

test: ## Install what the tests need and run all of them
	@scripts/test

test-aws: ## Of those, the ones on AWS's shape alone: template, state machine, end to end on emulators
	@scripts/test-aws

lint: ## Formatting, clippy as law, licences and sources of dependencies
	@scripts/lint

bench: ## Measure against the peers and write bench/results.json (ARGS="--only P1" or "--p12")
	@scripts/bench $(ARGS)

fmt: ## Format the sources
	cargo fmt --all

image: ## Build the image that shells have on AWS
	@scripts/image

synth: ## Write the template of the deployment on AWS; needs no account (ARGS="-c network=private")
	@scripts/synth $(ARGS)

deploy: ## Put all of it into the AWS account whose credentials are at hand (ARGS as with synth)
	@scripts/deploy $(ARGS)

destroy: ## Take it away again
	@scripts/destroy $(ARGS)
