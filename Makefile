# make studio   the environment, then the studio at http://127.0.0.1:7860
# make check    format, lint, types, layers
# make test     everything the tests need, then all tests (WORKERS=1: one after the other)
# make soak     the long tests
PYTHON ?= python3
BIN := .venv/bin
ENV := .venv/.installed
DEV := .venv/.installed-dev
# How many processes share the tests, which wait more than they compute: two, where there is more than one core.
WORKERS ?= $(shell test "$$(nproc)" -gt 1 && echo 2 || echo 1)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: studio check test soak browser pictures clean

studio: $(ENV)
	$(BIN)/python -m studio

$(BIN)/python:
	$(PYTHON) -m venv .venv

# torch first and by its exact version: otherwise other packages would pull another build of it.
$(ENV): requirements.txt | $(BIN)/python
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements.txt)"
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

$(DEV): requirements-dev.txt $(ENV)
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_durable_writes.py

# A Chromium from wherever this machine has one: already there, Debian's, or playwright's own.
browser: $(DEV)
	@tests/browser/install-chromium $(BIN)

# The tests are shared out by their files, with one thread for each process, as there are more processes than cores;
# those that measure seconds come last, when nothing else goes on.
test: $(DEV) browser
ifeq ($(WORKERS),1)
	$(BIN)/python -m pytest -m "not soak"
else
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not soak and not alone" -n $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest -m "alone and not soak"
endif

soak: $(DEV) browser
	$(BIN)/python -m pytest -m soak

# The pictures in the READMEs, taken from the running studio.
pictures: $(DEV) browser
	$(BIN)/python -m tests.browser.pictures docs/pictures

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
