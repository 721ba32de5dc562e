# Everything a person needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto

E2E_JOBS ?= 24

.PHONY: help setup demo test dist page e2e actions editor lint schema codes reference docs golden bench fleet wrong lock clean

help:
	@echo "make demo   render an example fleet from nothing and show what was done"
	@echo "make test   lint, types, layers and all tests"
	@echo "make dist   a release in dist/ (wheel, sdist, SBOM), tried in an empty environment and by pre-commit"
	@echo "make page   the page of a fleet in a real browser: console, axe, keyboard, screenshots (needs Chromium)"
	@echo "make e2e    the same against real controllers, Istio, Envoy and Prometheus (needs Go and Prometheus)"
	@echo "make actions the Action and the workflows: actionlint, and nektos/act on this machine (needs Go)"
	@echo "make editor what an author sees: the schemas in a real YAML language server (needs Node.js)"
	@echo "make lint   only lint, types and layers"
	@echo "make schema renew the JSON Schemas"
	@echo "make codes  renew docs/codes.md from generator/canaryfleet/codes"
	@echo "make reference  renew docs/reference and the pictures in docs from the models, the parsers and docs/tools"
	@echo "make docs   the documentation as HTML, in docs/build; warnings are errors"
	@echo "make golden renew the golden trees of the tests (read the difference!)"
	@echo "make bench  the measured claims"
	@echo "make wrong  what make e2e has to find: five wrong renders, each with the test that must fail because of it"
	@echo "make fleet  a real control plane on this machine, to play with (needs Go and Prometheus)"
	@echo "make lock   renew requirements/ after pyproject.toml (needs uv); with UPGRADE=--upgrade newer versions, too"

setup: $(VENV)/.made

$(VENV)/.made: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "canaryfleet needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest -n $(JOBS)

lint: setup
	$(BIN)/ruff check generator tests benchmarks examples docs release
	$(BIN)/mypy
	MYPYPATH=tests/e2e:tests:docs/tools $(BIN)/mypy tests/e2e/*.py tests/e2e/rig tests/recordings.py tests/agreed.py tests/chromium.py tests/pages.py docs/tools/*.py
	$(BIN)/lint-imports --no-cache

# In an environment of its own: what makes a release shall not decide what the tests run with.
dist: $(VENV)-release/.made
	$(VENV)-release/bin/python -W error -m release
	cd tests/dist && ../../$(VENV)-release/bin/python -m pytest $(DIST)

$(VENV)-release/.made: requirements/release.txt
	$(PYTHON) -m venv $(VENV)-release
	$(VENV)-release/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/release.txt
	@touch $@

schema: setup
	$(BIN)/canaryfleet schema

codes: setup
	$(BIN)/python -c "from canaryfleet import codes; print(codes.page(), end='')" > docs/codes.md

reference: setup
	$(BIN)/python docs/tools

$(VENV)/.made-docs: $(VENV)/.made requirements/docs.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

docs: $(VENV)/.made-docs
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --nitpicky --quiet \
		--doctree-dir $(VENV)/.doctrees docs docs/build

golden: setup
	$(BIN)/python -m pytest -q tests/golden --renew

bench: setup
	$(BIN)/python -m benchmarks

$(VENV)/.made-e2e: $(VENV)/.made requirements/e2e.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/e2e.txt
	@touch $@

# `make page RENEW=--renew` writes the screenshots anew.
page: $(VENV)/.made-page
	$(BIN)/python -m pytest -p no:cacheprovider tests/browser $(RENEW)

# Without what the wheel itself depends on: only the axe-core in it is used.
$(VENV)/.made-page: $(VENV)/.made requirements/page.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/page.txt
	@touch $@

# All build on first use, about 25 minutes on two cores, and end what they started when they are interrupted.
# `make e2e E2E=test_traffic.py` runs some of the tests.
e2e: $(VENV)/.made-e2e
	cd tests/e2e && ../../$(BIN)/python -m rig test -n $(E2E_JOBS) --dist load --maxschedchunk 1 $(E2E)

tests/actions/bin/.made: tests/actions/module/go.mod tests/actions/module/go.sum
	cd tests/actions/module && go build -trimpath -o ../bin/ tool
	@touch $@

actions: setup tests/actions/bin/.made
	$(BIN)/python -m pytest -p no:cacheprovider tests/actions

tests/editor/node_modules/.made: tests/editor/package-lock.json
	cd tests/editor && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

editor: setup tests/editor/node_modules/.made
	$(BIN)/python -m pytest tests/editor

wrong: $(VENV)/.made-e2e
	cd tests/e2e && ../../$(BIN)/python -m wrong

fleet: $(VENV)/.made-e2e
	cd tests/e2e && ../../$(BIN)/python -m rig build && ../../$(BIN)/python -m rig up

# What is locked stays as it is unless pyproject.toml asks for something else; UPGRADE=--upgrade, or for one package
# UPGRADE="--upgrade-package NAME", takes newer versions.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(UPGRADE)
lock:
	@command -v uv > /dev/null || { echo "make lock needs uv: pip install uv, in an environment of its own"; exit 1; }
	for group in dev release; do $(LOCK) --group $$group pyproject.toml -o requirements/$$group.txt || exit 1; done
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) --extra github-app pyproject.toml -o requirements/github-app.txt
	$(LOCK) --no-deps --group page -o requirements/page.txt
	$(LOCK) --extra github-app --extra otel pyproject.toml -o requirements/image.txt
	for group in build docs e2e go; do $(LOCK) --group $$group -o requirements/$$group.txt || exit 1; done

clean:
	rm -rf $(VENV) $(VENV)-release dist .mypy_cache .ruff_cache .pytest_cache .hypothesis demo docs/build tests/e2e/bin tests/e2e/run tests/editor/node_modules tests/actions/bin
