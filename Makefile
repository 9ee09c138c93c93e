# The few commands that people type. Each sets up what it needs.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
INSTALLED := .venv/installed
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1

PROFILE ?= quick

.PHONY: help install repro plan test lint check bench sample

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: $(INSTALLED)  ## set up .venv from the pinned versions

$(INSTALLED): requirements.lock
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; install it, or name it: make PYTHON=..."; exit 1; }
	@echo "installing the pinned packages into .venv, a few minutes the first time"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@.venv/bin/python -m reformer_seqlen.commands.plots_page
	@touch $@

repro: $(INSTALLED)  ## run the whole study of params.yaml
	@python -m reformer_seqlen.commands.repro

plan: $(INSTALLED)  ## what a profile would take, nothing started: make plan PROFILE=paper
	@python -m reformer_seqlen.commands.plan "$(PROFILE)"

test: $(INSTALLED)  ## run every test
	@python -m pytest --numprocesses 2 --dist loadfile

lint: $(INSTALLED)  ## style, format and types
	@ruff check .
	@ruff format --check .
	@mypy

check: $(INSTALLED)  ## compare what was computed with what is committed
	@python -m reformer_seqlen.commands.check

bench: $(INSTALLED)  ## training speed against transformers' Reformer
	@python -m benchmarks.training

# The prompt as it was typed: make would expand its $.
sample: override export PROMPT := $(value PROMPT)
sample: $(INSTALLED)  ## continue a text: make sample RUN=news-512 PROMPT="The "
	@python -m reformer_seqlen.commands.sample -- $${RUN:+"$$RUN"} $${PROMPT:+"$$PROMPT"}
