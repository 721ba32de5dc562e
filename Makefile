# Everything a person needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto

E2E_JOBS ?= 16

.PHONY: help setup demo test page e2e actions editor lint schema codes reference docs golden bench fleet wrong lock clean

help:
	@echo "make demo   render an example fleet from nothing and show what was done"
	@echo "make test   lint, types, layers and all tests"
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
	$(BIN)/ruff check generator tests benchmarks examples docs
	$(BIN)/mypy
	MYPYPATH=tests/e2e:tests:docs/tools $(BIN)/mypy tests/e2e/*.py tests/e2e/rig tests/recordings.py tests/agreed.py tests/chromium.py tests/pages.py docs/tools/*.py
	$(BIN)/lint-imports --no-cache

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
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --nitpicky --quiet docs docs/build

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

# All build on first use, about 20 minutes on two cores, and end what they started when they are interrupted.
# `make e2e E2E=test_traffic.py` runs some of the tests.
e2e: $(VENV)/.made-e2e
	cd tests/e2e && ../../$(BIN)/python -m rig test -n $(E2E_JOBS) --dist worksteal $(E2E)

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

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-deps --group page -o requirements/page.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra github-app pyproject.toml -o requirements/github-app.txt
	for group in docs e2e go; do uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group $$group -o requirements/$$group.txt; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis demo docs/build tests/e2e/bin tests/e2e/run tests/editor/node_modules tests/actions/bin
