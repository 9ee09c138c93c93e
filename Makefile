# The few commands that people type. Each sets up what it needs.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
INSTALLED := .venv/installed
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps
ifneq (,$(findstring :,$(CURDIR)))
$(error the folder $(CURDIR) has a colon in its name, which PATH can't hold: rename the folder)
endif
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1
# Stages and benchmarks are modules of this folder, where it would keep Python from looking.
unexport PYTHONSAFEPATH

.PHONY: help install repro plan show sample check keep test test-fast test-faults test-distribute lint bench bench-text bench-gpu

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

install: $(INSTALLED)  ## set up .venv from the locked versions, a few minutes the first time

# Only files whose hashes are locked. A build of torch in a wheel folder of pip's own configuration
# goes first, as one for CPUs alone; PyPI's needs CUDA's packages on Linux.
$(INSTALLED): requirements.lock requirements-cuda.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; install it, or name it: make PYTHON=..."; exit 1; }
	@echo "installing the locked packages into .venv, a few minutes the first time"
	$(PYTHON) -m venv .venv
	@sed -n '/^torch==/,/[^\\]$$/p' requirements.lock > .venv/torch.lock
	@$(PIP) --no-index --require-hashes --requirement .venv/torch.lock 2>/dev/null || true
	$(PIP) --require-hashes --requirement requirements.lock
	@if .venv/bin/python -m pip show torch | grep '^Requires:.*cuda' >/dev/null; then \
		$(PIP) --require-hashes --requirement requirements-cuda.lock; fi
	$(PIP) --no-build-isolation --editable .
	@.venv/bin/python -m reformer_seqlen.commands.plots_page
	@touch $@

repro: $(INSTALLED)  ## run the study of params.yaml: make repro, make repro JOBS=4 PROFILE=smoke
	@python -m reformer_seqlen repro $(if $(JOBS),--jobs $(JOBS)) $(if $(PROFILE),--profile "$(PROFILE)")

plan: $(INSTALLED)  ## say what a study would take, start nothing: make plan, make plan PROFILE=paper
	@python -m reformer_seqlen plan $(if $(PROFILE),"$(PROFILE)")

show: $(INSTALLED)  ## print the results that are here
	@python -m reformer_seqlen show

# The prompt as it was typed: make would expand its $.
sample: override export PROMPT := $(value PROMPT)
sample: $(INSTALLED)  ## continue a text: make sample RUN=news-512 PROMPT="The "
	@test -n "$$RUN" || test -z "$$PROMPT" || \
		{ echo 'error: which run? make sample RUN=news-512 PROMPT="The "'; exit 1; }
	@python -m reformer_seqlen sample -- $${RUN:+"$$RUN"} $${PROMPT:+"$$PROMPT"}

check: $(INSTALLED)  ## compare what was computed with what is committed
	@python -m reformer_seqlen check

keep: $(INSTALLED)  ## keep the study that is here whole, in results/PROFILE/
	@python -m reformer_seqlen keep

test: $(INSTALLED)  ## run every test, 5 to 15 minutes on two cores
	@python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-faults: $(INSTALLED)  ## kill the study 50 times and damage its files, 10 to 15 minutes
	@python -m tests.faults

test-fast: $(INSTALLED)  ## run the tests that are not slow, about a minute
	@python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-distribute: $(INSTALLED)  ## test distribute on a Ray and a Slurm of this machine, 5 minutes
	@$(PIP) --require-hashes --requirement requirements-distribute.lock
	@python -m pytest --numprocesses 2 --dist loadfile tests/clusters

lint: $(INSTALLED)  ## style, format and types
	@ruff check .
	@ruff format --check .
	@mypy

bench: $(INSTALLED)  ## training speed against transformers' Reformer, 6 minutes
	@python -m benchmarks.training

bench-text: $(INSTALLED)  ## tokenizing against SentencePiece, and counting, 10 minutes
	@python -m benchmarks.text
	@python -m benchmarks.counting

bench-gpu: $(INSTALLED)  ## correctness, speed and memory on a GPU, at most 6 minutes
	@python -m benchmarks.gpu
