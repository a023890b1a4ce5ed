# Every target makes what it needs in .venv, from a Python 3.11 or later that is already there.
#
#   make demo     an emulated censor, a run of the probe behind it, and the report
#   make test     every test this machine can run (as root: the network-namespace tests too)
#   make lint     style, formatting and types
#   make bench    the benchmarks
#   make accuracy DATA=FOLDER   docs/accuracy.md anew: how often the answers are right
#   make lock     choose the newest versions of the dependencies again

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: install demo test lint bench accuracy lock

bin := .venv/bin
pip := $(bin)/python -m pip --disable-pip-version-check --quiet --quiet
pythons := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11

install: .venv/.installed

demo: install
	$(bin)/probe demo

test: install
	$(bin)/pytest

lint: install
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

bench: install
	set -e; for bench in $(wildcard tests/bench/bench_*.py); do echo "== $$bench"; $(bin)/python $$bench; done

# DATA holds policing/ and twitter-2021/, labelled measurements from elsewhere; LAB the records of
# runs behind the emulated censors: judged again where they are there, else made.
LAB ?= build/lab
LAB_RUNS ?= 1
evaluate := $(bin)/analysis evaluate
accuracy: install
	@test -d "$(DATA)" || { echo "Found no folder DATA=$(DATA)," \
	  "expected one with policing/ and twitter-2021/: make accuracy DATA=FOLDER" >&2; exit 2; }
	set -e; { printf '# How often the answers are right\n\nMade by `make accuracy` and not by hand.\n\n'; \
	  $(evaluate) simulated; $(evaluate) captures $(DATA)/policing; \
	  $(evaluate) twitter2021 $(DATA)/twitter-2021/measurements.csv.gz; \
	  $(evaluate) lab $(if $(wildcard $(LAB)),--from,--runs $(LAB_RUNS) --output) $(LAB); } > docs/.accuracy.md
	mv docs/.accuracy.md docs/accuracy.md

# The console scripts point at the sources, so only a change of the project's own metadata needs
# a second install.
.venv/.installed: pyproject.toml .venv/.locked
	$(pip) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.locked: requirements/dev.lock | .venv/bin/pip
	@echo "Installing the locked dependencies into .venv; the first time takes a minute."
	$(pip) install --require-hashes --requirement $<
	@touch $@

.venv/bin/pip:
	@for python in $(pythons); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec $$python -m venv .venv; \
	  fi; \
	done; \
	echo "Found no Python 3.11 or later (tried: $(strip $(pythons)))." \
	  "Install one, or name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1

# One resolution for all of it: what runs and what builds are subsets of what is tested.
compile := $(bin)/uv pip compile --quiet --universal --python-version 3.11 \
  --fork-strategy fewest --generate-hashes --custom-compile-command "make lock"
tested := --constraint requirements/dev.lock

lock: | .venv/bin/pip
	$(pip) install uv
	$(compile) pyproject.toml --all-extras --group test --group lint --group build --upgrade \
	  --output-file requirements/dev.lock
	$(compile) pyproject.toml --all-extras $(tested) --output-file requirements/run.lock
	$(compile) --group build $(tested) --output-file requirements/build.lock
