# Everything a person needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto

.PHONY: help setup demo test lint schema golden bench fleet lock clean

help:
	@echo "make demo   render an example fleet from nothing and show what was done"
	@echo "make test   lint, types, layers and all tests"
	@echo "make lint   only lint, types and layers"
	@echo "make schema renew the JSON Schemas"
	@echo "make golden renew the golden trees of the tests (read the difference!)"
	@echo "make bench  the measured claims"
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
	$(BIN)/ruff check generator tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

schema: setup
	$(BIN)/canaryfleet schema

golden: setup
	$(BIN)/python -m pytest -q tests/golden --renew

bench: setup
	$(BIN)/python -m benchmarks

# Builds on first use, about 15 minutes on two cores; ends what it started when it is interrupted.
fleet: setup
	PYTHONPATH=tests/e2e $(BIN)/python -m rig build
	PYTHONPATH=tests/e2e $(BIN)/python -m rig up --clusters 3 --traffic --prometheus

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements/run.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis demo
