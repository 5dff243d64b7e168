# `make demo` and `make test` need Python 3.11 or later with venv, and make; everything else goes into .venv.
#
#   PYTHON     the interpreter that makes the environment     make demo PYTHON=python3.12
#   VENV       where the environment lies                     make test VENV=/tmp/venv
#   PIP_FLAGS  handed to each pip install                     an index, --no-index, --find-links …
#   WORKERS    test processes                                 make test WORKERS=4
#   ARGS       handed to pytest or to the demo                make test ARGS="tests/losses -x"
#   KILLS, INPUTS, FLIPS  how many faults                     make fault-tests KILLS=300

PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
WORKERS ?= 2
ARGS ?=
KILLS ?= 12
INPUTS ?= 60
FLIPS ?= 60

BIN := $(VENV)/bin
PY := $(BIN)/python
INSTALL := $(PY) -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_FLAGS)
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile

# The tests start hundreds of Pythons; what one has compiled is kept for the next.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo check test test-all fault-tests bench docs lint format types clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# On one thread, because tensors this small take many times longer on two.
demo: $(VENV)/.package  ## distil a small network on real digits and report
	OMP_NUM_THREADS=1 $(BIN)/tutelage run vision/digits $(ARGS)

# The tests come last, so that their closing line is the last of a check.
check: lint types docs  ## all that a change must pass: format, lint, types, imports, site, tests
	$(MAKE) --no-print-directory test

test: $(VENV)/.test  ## the quick tests
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(VENV)/.test  ## all tests
	$(PYTEST) $(ARGS)

# One process, and what it counted is printed; make fault-tests KILLS=300 INPUTS=1000 FLIPS=300 takes hours.
fault-tests: $(VENV)/.test  ## kills, bad inputs, flipped bytes, hostile files; KILLS, INPUTS, FLIPS say how many
	FAULT_KILLS=$(KILLS) FAULT_INPUTS=$(INPUTS) FAULT_FLIPS=$(FLIPS) OMP_NUM_THREADS=1 \
		$(PY) -m pytest -s -m slow --timeout 86400 tests/faults $(ARGS)

bench: $(VENV)/.test  ## the quick benchmarks
	$(PY) benchmarks/step_overhead.py --quick

docs: $(VENV)/.check  ## build the site into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

lint: $(VENV)/.check  ## format, lint and import contracts, nothing changed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

format: $(VENV)/.check  ## bring files into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.check  ## strict types
	$(BIN)/mypy

clean:  ## remove the environment, caches and the site; runs/ stays
	rm -rf $(VENV) site build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	rm -rf src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment, in three depths; each is made again when what it depends on changes ------------------

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Python %d.%d came; 3.11 or later is needed: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q $(PIP_FLAGS) --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.package: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) -e ".[text,onnx,tabular,trackers,tune,compress]" --group test
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(INSTALL) --group lint --group docs
	@touch $@
