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

# DATA holds policing/ and twitter-2021/, labelled measurements from elsewhere. LAB, RATES and VARIED
# hold the records of runs behind emulated censors: the program's own presets, each way of slowing at
# several rates, presets at figures drawn at random. Judged again where they are there, else made.
LAB ?= build/lab
LAB_RUNS ?= 1
RATES ?= build/rates
VARIED ?= build/varied
DRAWN := 4000
evaluate := $(bin)/analysis evaluate
kept_or = $(if $(wildcard $(1)),--from,$(2) --output) $(1)
accuracy: install build/rates.json build/varied.json
	@test -d "$(DATA)" || { echo "Found no folder DATA=$(DATA)," \
	  "expected one with policing/ and twitter-2021/: make accuracy DATA=FOLDER" >&2; exit 2; }
	set -e; { printf '# How often the answers are right\n\nMade by `make accuracy` and not by hand.\n\n'; \
	  $(evaluate) simulated; $(evaluate) captures $(DATA)/policing; \
	  $(evaluate) twitter2021 $(DATA)/twitter-2021/measurements.csv.gz; \
	  $(evaluate) lab $(call kept_or,$(LAB),--runs $(LAB_RUNS)); echo; \
	  $(evaluate) lab --title 'Each way of slowing or blocking, at six rates' \
	    $(call kept_or,$(RATES),--quick --engine netns --presets build/rates.json); echo; \
	  $(evaluate) lab --title 'Emulated censors and lines drawn at random' \
	    $(call kept_or,$(VARIED),--quick --presets build/varied.json); } > docs/.accuracy.md
	mv docs/.accuracy.md docs/accuracy.md

build/rates.json: drawing := --sweep
build/varied.json: drawing := --count 6
build/rates.json build/varied.json: | install
	@mkdir -p build
	$(bin)/probe lab vary --seed $(DRAWN) $(drawing) > $@

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
