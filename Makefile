# `make run` starts Drover; `make test` runs everything that .ci/run runs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run dev test bench lint sqlx screenshots

help: ## Show these commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/'

run: ## Install what is missing, build, and start Drover on http://localhost:8080
	@scripts/run.sh

dev: ## The same as a debug build, with its data in data/
	@scripts/dev.sh

test: ## Install what the tests need, and run them all
	@scripts/test.sh

bench: ## Measure speed and memory, and print the table (PARTS=sign-in: that part alone)
	@scripts/bench.sh $(PARTS)

lint: ## Formatting, clippy, and the offline query data
	@scripts/lint.sh

sqlx: ## Write the offline query data anew (after a change of SQL)
	@scripts/sqlx.sh

screenshots: ## Take the README's screenshots anew
	@scripts/screenshots.sh
