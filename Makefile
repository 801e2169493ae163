# The commands of README.md and CONTRIBUTING.md. Each does its own set-up, once: what is installed leaves a
# stamp in .venv or node_modules, and a changed lock file makes the stamp stale.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Node packages and, where the system has none, Node itself come from .venv.
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_ROOT_USER_ACTION := ignore
# Without its byte code, Python takes a second longer to start the server.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test soak mutations check format bench bundle clean help
.DEFAULT_GOAL := help

help:
	@echo "make run     install and start the server in the foreground"
	@echo "make test    install what the tests need and run them (PYTEST_ARGS=… to choose)"
	@echo "make soak    try replicas for long (LOCALSRV_SOAK=how many examples)"
	@echo "make mutations  take each defence away and see a test fail (MUTATIONS=words to choose)"
	@echo "make check   style, types and layers"
	@echo "make format  put the code in the house's format"
	@echo "make bench   measure, and print the table of docs/performance.md (BENCH_ARGS=… to choose)"
	@echo "make bundle  build the frozen server in dist/localsrv"
	@echo "make clean   remove what these commands made"

# ── set-up ─────────────────────────────────────────────────────────────────────────────────────────────────

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (PYTHON=/path/to/python3 make …)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) install -r requirements-dev.lock
	@touch $@

# Node 20 or newer: the system's, or the one on the package index.
$(VENV)/.node: tests/node/requirements.lock | $(BIN)/python
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20)' 2>/dev/null && npm --version >/dev/null \
		|| $(PIP) install -r tests/node/requirements.lock
	@touch $@

%/node_modules/.stamp: %/package-lock.json $(VENV)/.node
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# ── commands ───────────────────────────────────────────────────────────────────────────────────────────────

run: $(VENV)/.run
	@exec $(BIN)/python -m localsrv serve --offer-sample $(SERVE_ARGS)

test: $(VENV)/.dev tests/node/node_modules/.stamp tests/bench/pouchdb/node_modules/.stamp
	@sh tests/system-packages.sh chromium dbus gnome-keyring libglib2.0-bin procps sqlite3
	$(BIN)/python -m pytest $(PYTEST_ARGS)

soak: $(VENV)/.dev
	LOCALSRV_SOAK=$${LOCALSRV_SOAK:-1000} $(BIN)/python -m pytest --timeout 0 tests/properties $(PYTEST_ARGS)

mutations: $(VENV)/.dev
	@sh tests/system-packages.sh chromium dbus gnome-keyring libglib2.0-bin procps sqlite3
	$(BIN)/python -m tests.mutations $(MUTATIONS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev tests/bench/lite/node_modules/.stamp tests/bench/pouchdb/node_modules/.stamp
	@sh tests/system-packages.sh wrk
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

bundle: $(VENV)/.dev
	$(BIN)/python build/bundle.py

clean:
	rm -rf $(VENV) dist tests/node/node_modules tests/bench/lite/node_modules tests/bench/pouchdb/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
