.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
ON_SERVER := PREFECT_API_URL="$${PREFECT_API_URL:-http://127.0.0.1:4200/api}"
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock"
# Tried one by one: a name on the PATH may be a version manager's shim without a Python behind it.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		2>/dev/null && echo $$python && break; done)

export DO_NOT_TRACK := 1

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## .venv with the pinned requirements; the other targets run it when needed
	@:

demo: setup ## the whole pipeline on sample logs: no account, no server, no network
	@$(BIN)/python -m flows.demo

up: setup ## server, deployments and worker together in this terminal, until Ctrl-C
	@trap 'kill %1 2>/dev/null; wait' EXIT; $(BIN)/prefect server start & \
	$(ON_SERVER) $(BIN)/prefect server status --wait --timeout 180 >/dev/null; \
	$(MAKE) deploy worker

server: setup ## a Prefect server with its UI on http://127.0.0.1:4200
	@$(BIN)/prefect server start

deploy: setup ## put the work pool and the deployments of prefect.yaml on that server
	@$(ON_SERVER) $(BIN)/prefect --no-prompt work-pool inspect middlewatch >/dev/null 2>&1 \
		|| $(ON_SERVER) $(BIN)/prefect --no-prompt work-pool create middlewatch --type process
	@$(ON_SERVER) $(BIN)/prefect --no-prompt deploy --all

worker: setup ## run what is scheduled there, two flow runs at a time
	@$(ON_SERVER) $(BIN)/prefect worker start --pool middlewatch --limit 2

try-alert: setup ## send one harmless alert to see that Telegram takes it
	@$(BIN)/python -m flows.try_alert

test: .venv/.installed-tests ## all tests, against a real MariaDB of their own
	@tests/servers/install-mariadb
	@$(BIN)/pytest

test-unit: .venv/.installed-tests ## the tests that need no server
	@$(BIN)/pytest tests/unit tests/property

faults: .venv/.installed-tests ## every fault of tests/faults, not only the few that `make test` has
	@tests/servers/install-mariadb
	@$(BIN)/pytest -m "" tests/faults

injection: .venv/.installed-tests ## hostile log lines against models that obey and betray; prints what got through
	@$(BIN)/pytest -m "" -q tests/injection

check: .venv/.installed-tests ## lint, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench-quality: .venv/.installed-tests ## what the rules find in the labelled corpora of SHARED=DIRECTORY
	@[[ -d "$(SHARED)" ]] || { echo "Say where the corpora are: make bench-quality SHARED=DIRECTORY"; exit 1; }
	@$(BIN)/python -m tests.benchmarks.quality "$(SHARED)" $(if $(LIST),--list $(LIST))

bench-detect: .venv/.installed-tests ## how fast detection is, in ratios; SIZE_MIB=1024 REPEATS=5
	@$(BIN)/python -m tests.benchmarks.detect --size-mib $(or $(SIZE_MIB),1024) --repeats $(or $(REPEATS),5)

lock: .venv/.installed-tests ## compile both requirement files from pyproject.toml anew
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --group dev --constraint requirements.txt --output-file tests/requirements.txt

.venv/.installed: requirements.txt
	@[[ -n "$(PYTHON)" ]] || { echo "Middlewatch needs Python 3.11, 3.12 or 3.13 with venv" \
		"(on Debian and Ubuntu: apt-get install python3-venv)." \
		"Is it elsewhere? make PYTHON=/path/to/python"; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@echo "Installing the requirements into .venv ($$($(BIN)/python --version)):" \
		"about two minutes the first time"
	@$(PIP) install --require-hashes --no-deps -r requirements.txt
	@touch $@

.venv/.installed-tests: tests/requirements.txt .venv/.installed
	@echo "Installing what the tests need into .venv"
	@$(PIP) install --require-hashes --no-deps -r tests/requirements.txt
	@touch $@

bench-evaluate: .venv/.installed-tests ## how fast counts are merged and judged; ROWS=10000000
	@$(BIN)/python -m tests.benchmarks.evaluation --rows $(or $(ROWS),10000000)

.PHONY: help setup demo try-alert up server deploy worker test test-unit faults injection check bench-quality bench-detect bench-evaluate lock
