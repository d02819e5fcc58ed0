# Every target does its own set-up; the two to know are `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test soak check fmt bench lock clean

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.demo ## Record real runs from a local workflow endpoint and serve them (ARGS=--exit to end)
	@$(BIN)/recorder demo $(ARGS)

test: .venv/.dev .venv-fal/.ready tests/clients/js/node_modules ## Run all tests (ARGS for pytest)
	@$(BIN)/python -m pytest $(ARGS)

soak: .venv/.dev ## Crash, cut and overload it for far longer than the tests do (ARGS for pytest)
	@RECORDER_SOAK=1 $(BIN)/python -m pytest tests/trust $(ARGS)

check: .venv/.dev ## Lint, types, import layers, migrations
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		export RECORDER_DATABASE_URL="sqlite:///$$scratch/drift.db" && \
		$(BIN)/alembic upgrade head && $(BIN)/alembic check

fmt: .venv/.dev ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

bench: .venv/.dev ## Measure (docs/performance.md says what and how; ARGS picks)
	@$(BIN)/python -m bench $(ARGS)

lock: ## Resolve the dependencies anew (needs uv)
	@uv pip compile pyproject.toml --all-extras $(LOCK) -o requirements-dev.lock
	@printf 'hatchling\neditables\n' | uv pip compile pyproject.toml - -c requirements-dev.lock $(LOCK) -o requirements.lock
	@echo fal | uv pip compile - $(LOCK) -o requirements-fal.lock

clean: ## Remove environments and caches
	@rm -rf .venv .venv-fal tests/clients/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-package fal-flight-recorder

.venv/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer on the PATH (or PYTHON=...)."; exit 2; }
	@echo "Setting up .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing; on Debian it is in the package python3-venv."; exit 2; }

.venv/.demo: .venv/pyvenv.cfg requirements.lock pyproject.toml
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.demo requirements-dev.lock
	@echo "Installing what checks and tests need ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# The package `fal` wants other versions than we do, so it lives beside us; tests call it.
.venv-fal/.ready: .venv/pyvenv.cfg requirements-fal.lock
	@echo "Setting up .venv-fal for the definition tests ..."
	@$(PYTHON) -m venv .venv-fal
	@.venv-fal/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-fal.lock
	@touch $@

# Without Node the JavaScript client's tests skip and say so.
tests/clients/js/node_modules: tests/clients/js/package-lock.json
	@if command -v npm >/dev/null 2>&1; then cd tests/clients/js && npm ci --silent --no-audit --no-fund; fi
	@if [ -d $@ ]; then touch $@; fi
