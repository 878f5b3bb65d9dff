# Two commands are the whole set-up: `make demo` and `make test`. Both install what they need.
PYTHON ?= python3
VENV   := .venv
UV     := $(or $(shell command -v uv 2>/dev/null),$(VENV)/bin/uv)
RUN    := $(VENV)/bin/
STAMP  := $(VENV)/.installed
APPS   := .venv-apps
# Tests wait more than they compute: three for each of two cores. Eight workers take 428 s where six took 464 s.
WORKERS ?= 6
# Images of containers forbid bytecode files; without them each service that a test starts compiles its 800 modules anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: $(shell sed -nE 's/^([a-z0-9-]+):.*/\1/p' Makefile)

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

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

DOCS   := .venv-docs
$(DOCS)/.installed: requirements-docs.lock $(STAMP)
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(UV) pip install --quiet --python $(DOCS)/bin/python --require-hashes -r requirements-docs.lock
	$(UV) pip install --quiet --python $(DOCS)/bin/python --no-deps -e .
	@touch $@

docs: $(DOCS)/.installed ## Write the generated pages and build the site into .cache/site, strictly: every link is checked
	$(RUN)python docs/generate.py
	$(DOCS)/bin/mkdocs build --quiet --strict

unit: $(STAMP) ## Run the tests that start no process and use no network: under a minute
	$(RUN)pytest -q -m unit -n auto

test: $(STAMP) apps $(DOCS)/.installed real ## Run every test, side by side: file by file, so that a module's services start once
	$(RUN)pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

matrix: $(STAMP) ## Run the suites that touch other projects over their oldest and newest versions and every interpreter here
	$(RUN)python tests/support/matrix.py

check: $(STAMP) ## Lint, types, import contracts, workflows
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)python tests/support/private_names.py
	$(RUN)python tests/support/words.py
	$(RUN)zizmor --quiet --offline --no-progress .github
	@sh tests/support/actionlint.sh

requests: $(STAMP) apps ## Ask every framework under every server everything that can happen to a request, beside plain sentry-sdk
	$(RUN)python tests/support/requests_matrix.py

applications: $(STAMP) apps ## Run the first examples of every framework and applications of others under auto-instrumentation, and count
	STOCK=all APPLICATIONS=all $(RUN)pytest -q -s -n 2 tests/e2e/test_stock_services.py tests/e2e/test_real_applications.py

bench: $(STAMP) ## Measure against what slotel replaces: the quick profile (bench/README.md has the full one)
	$(RUN)python bench/run.py --quick

reliability: $(STAMP) apps ## What faults do to a real service: writes the table of docs/reliability.md, in MINUTES (20) at most
	PYTHONPATH=tests $(RUN)python tests/reliability/run.py --write --minutes $(or $(MINUTES),20)

soak: $(STAMP) ## A million requests in one process and a hundred thousand through gunicorn: memory, threads, descriptors
	SOAK_REQUESTS=$(or $(SOAK_REQUESTS),1000000) SOAK_GUNICORN=$(or $(SOAK_GUNICORN),100000) $(RUN)pytest -q -s -o timeout=0 tests/e2e/test_soak.py

fuzz: $(STAMP) ## Fuzz every reader and writer for SECONDS (60) each, by atheris where it can be had; what breaks a promise goes into tests/fuzz/corpus
	-@$(UV) pip install --quiet --python $(VENV)/bin/python --target .cache/atheris atheris==3.0.0
	PYTHONPATH=tests:.cache/atheris $(RUN)python tests/fuzz/run.py --seconds $(or $(SECONDS),60)

model: $(STAMP) ## Three thousand random histories of processes and their worker files, and as many in memory, against plain addition
	HISTORIES=$(or $(HISTORIES),3000) $(RUN)pytest -q -n 2 -o timeout=0 tests/runtime/metrics/workers/test_model.py

upstream: $(STAMP) ## Run other projects' own suites with slotel active beside the same without it; explain each difference
	$(RUN)python tests/upstream/run.py
	$(RUN)python tests/upstream/run.py --dsn

format: $(STAMP) ## Format and fix what can be fixed
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

LOCK = $(UV) pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-header --quiet $(if $(NEWEST),--upgrade)

lock: $(STAMP) ## Pin what pyproject.toml asks for; versions that are pinned stay, NEWEST=1 takes the newest of each
	$(LOCK) --all-extras --group dev -o requirements.lock
	$(LOCK) --extra otlp --extra fast --group apps -o requirements-apps.lock
	$(LOCK) --group docs -o requirements-docs.lock

constraints: $(STAMP) ## Write the tested set that `slotel bootstrap` installs, from the locked environment
	$(RUN)python release/constraints.py > src/slotel/constraints.new && mv src/slotel/constraints.new src/slotel/constraints.txt

real: ## Install Prometheus, Alertmanager and Chromium (Debian packages) where tests must be real
	@sh tests/support/install_real.sh

collector: ## Build the OpenTelemetry Collector of collector/builder.yaml (Go 1.26 or newer) into .cache/, once
	@sh collector/build.sh

collector-next: $(STAMP) ## Build the newest collector of which every module can be had and run the collector's tests on it
	OTELCOL="$$(sh collector/next.sh)" $(RUN)pytest tests/collector tests/deploy -k "not test_every_image"

kubernetes: $(STAMP) ## Ask the API server's own validation of every supported Kubernetes (Go) about the deployments
	KUBERNETES=all $(RUN)pytest tests/deploy/test_api_server.py tests/deploy/test_chart.py tests/deploy/test_linters.py -rA

promtool3: $(STAMP) ## Run the rules' tests under Prometheus 3, too: it and its promtool are built (Go 1.25) into .cache/, once
	sh tests/support/build_promtool3.sh prometheus
	PATH="$$(sh tests/support/build_promtool3.sh):$$PATH" $(RUN)pytest tests/compile/prometheus/test_arithmetic.py tests/compile/prometheus/test_calendar.py \
	  tests/compile/prometheus/test_generated.py tests/compile/prometheus/test_rule_kinds.py tests/compile/prometheus/test_against_sloth.py \
	  tests/compile/prometheus/test_federation.py tests/e2e/test_alertmanager.py tests/runtime/metrics/scrape/test_prometheus3.py

dist: $(STAMP) ## Build wheel and source distribution twice, compare the bytes, check the contents
	$(RUN)python release/dist.py

layer: $(STAMP) ## Build the tree of the operator's image, and a Lambda layer of it, into .cache/layer
	$(RUN)python release/layer.py

sbom: $(STAMP) ## Write the software bill of materials of the locked set to .cache/sbom.json
	@mkdir -p .cache
	$(UV) tool run --quiet --from cyclonedx-bom cyclonedx-py requirements requirements.lock --output-file .cache/sbom.json

release-check: $(STAMP) ## Fail unless TAG=vX.Y.Z is this version and CHANGELOG.md has it
	@version=$$($(RUN)python -c 'from slotel.version import __version__; print(__version__)'); \
	test "$(TAG)" = "v$$version" || { echo "the tag $(TAG) is not v$$version (src/slotel/version.py)"; exit 1; }; \
	grep -q "^## \[\?$$version" CHANGELOG.md || { echo "CHANGELOG.md has no section $$version"; exit 1; }

long: $(STAMP) apps real ## Run the tests that have a shorter form in `make test`: every page and example, more histories of the rules, 1,000 examples of a property
	LONG=1 $(RUN)pytest -n $(WORKERS) -o timeout=3600 -m "long or hypothesis"

properties: $(STAMP) ## The long forms of the rules' properties: random objectives, random Sloth specs, a backtest of a month
	PROMTOOL_SECONDS=3600 PROPERTY_EXAMPLES=200 SLOTH_SPECS=42 BACKTEST_HOURS=720 $(RUN)pytest -o timeout=0 tests/compile/prometheus/test_generated_properties.py \
	  tests/compile/prometheus/test_against_sloth.py tests/cli/backtest/test_backtest.py

clean: ## Remove what was built
	rm -rf $(VENV) $(APPS) $(DOCS) .cache
