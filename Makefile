.DEFAULT_GOAL := help
.PHONY: help run test test-aws test-dist test-vm test-web test-sdk test-mcp bench-web hostile fuzz dist lint bench fmt image synth deploy destroy

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Build, check this machine, run one command in a shell, show its timeline
	@scripts/run

test: ## Install what the tests need and run all of them; continuous integration runs this too
	@scripts/test

test-aws: ## Run only the tests of the AWS deployment: template, state machine, end to end on emulators
	@scripts/test-aws

test-dist: ## Build the packages, install them into a minimal Debian system and run a shell there
	@scripts/test-dist

test-vm: ## Run the sandbox's tests on a kernel of its own with cgroup v2, as root and as a user (ARGS="user_tools")
	@scripts/test-vm $(ARGS)

test-web: ## Test the console, in a real browser too (UPDATE=1 renews the screenshots of README)
	@cargo build --quiet --locked --package cli
	@scripts/test-web

test-sdk: ## Test the SDKs for Python and TypeScript
	@cargo build --quiet --locked --package cli
	@scripts/test-sdk

test-mcp: ## Test the MCP server with clients that are not ours
	@cargo build --quiet --locked --package cli
	@scripts/test-mcp

bench-web: ## Measure the console: the size of its bundle, and when the first list is shown
	@cargo build --quiet --locked --release --package cli
	@EPHEMERAL_PROGRAM=target/release/ephemeral scripts/test-web measure

hostile: ## Attack a server and its shells, also by attacks that take long (ARGS="--only NAME")
	@scripts/hostile $(ARGS)

fuzz: ## Fuzz what reads bytes of strangers, 10 minutes for each target (ARGS="60 data_channel")
	@scripts/fuzz $(ARGS)

dist: ## Write a release build, a Debian package and a container file to target/dist
	@scripts/dist

lint: ## Check formatting, clippy's lints, licences and sources of dependencies
	@scripts/lint

bench: ## Measure beside runc and others and write bench/results.json (ARGS="--only P1", "--p12" or "--soak 120")
	@scripts/bench $(ARGS)

fmt: ## Format the sources
	cargo fmt --all

image: ## Build the container image of the shells on AWS
	@scripts/image

synth: ## Write the template of the AWS deployment; needs no account (ARGS="-c network=private")
	@scripts/synth $(ARGS)

deploy: ## Deploy to the AWS account of the current credentials (ARGS as with synth)
	@scripts/deploy $(ARGS)

destroy: ## Delete the AWS deployment
	@scripts/destroy $(ARGS)
