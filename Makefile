# Two commands are the whole set-up: `make demo` and `make test`. Both install what they need.
PYTHON ?= python3
VENV   := .venv
UV     := $(or $(shell command -v uv 2>/dev/null),$(VENV)/bin/uv)
RUN    := $(VENV)/bin/
STAMP  := $(VENV)/.installed
APPS   := .venv-apps

.DEFAULT_GOAL := help
.PHONY: help demo apps test check format lock real collector promtool3 generate bench clean

help: ## List the targets
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(STAMP): pyproject.toml requirements.lock src/slotel/version.py
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null 2>&1 || test -x $(VENV)/bin/uv || $(VENV)/bin/python -m pip install --quiet uv
	$(UV) pip install --quiet --python $(VENV)/bin/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps -e .
	@touch $@

$(APPS)/.installed: requirements-apps.lock src/slotel/version.py $(STAMP)
	@test -x $(APPS)/bin/python || $(PYTHON) -m venv $(APPS)
	$(UV) pip install --quiet --python $(APPS)/bin/python --require-hashes -r requirements-apps.lock
	$(UV) pip install --quiet --python $(APPS)/bin/python --no-deps -e .
	@touch $@

demo: $(STAMP) ## Run the main job on embedded defaults: a service, load, a Sentry sink, live numbers
	$(RUN)slotel demo

apps: $(APPS)/.installed ## Install the servers, frameworks and applications that the tests and examples run (.venv-apps)

test: $(STAMP) apps real ## Run every test
	$(RUN)pytest

check: $(STAMP) ## Lint, types, import contracts
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

bench: $(STAMP) ## Measure against what slotel replaces: the quick profile (bench/README.md has the full one)
	$(RUN)python bench/run.py --quick

format: $(STAMP) ## Format and fix what can be fixed
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

lock: $(STAMP) ## Pin the tested set again
	$(UV) pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock
	$(UV) pip compile pyproject.toml --extra otlp --extra fast --group apps --universal --python-version 3.10 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements-apps.lock

real: ## Install Prometheus, Alertmanager and Chromium (Debian packages) where tests must be real
	@sh tests/support/install_real.sh

collector: ## Build the OpenTelemetry Collector of collector/builder.yaml (Go 1.26 or newer) into .cache/, once
	@sh collector/build.sh

promtool3: $(STAMP) ## Run the rules' tests under Prometheus 3, too: its promtool is built (Go 1.25) into .cache/, once
	PATH="$$(sh tests/support/build_promtool3.sh):$$PATH" $(RUN)pytest tests/compile/test_arithmetic.py tests/compile/test_calendar.py \
	  tests/compile/test_generated.py

clean: ## Remove what was built
	rm -rf $(VENV) $(APPS) .cache
