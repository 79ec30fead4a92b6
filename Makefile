# Every target works from a clean clone: what it needs is installed first, once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint type editors compare bench bench-generators bench-jacobian bench-discovery bench-stylespace bench-training bench-inversion

VENV := .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv and install the package with everything it needs

demo: setup ## from nothing to an edit grid, an orbit clip and a metrics table
	lightning fit --config experiments/toyfaces/demo.yaml
	lightning test --config experiments/toyfaces/demo.yaml --ckpt_path last

test: setup lint type ## lint, types, import contract and the tests
	nice -n 1 pytest -n 2 -q

lint: setup ## ruff and the import contract
	ruff check .
	ruff format --check .
	lint-imports

type: setup ## mypy, strict on the package
	mypy

COMPARISON ?= experiments/compare/toyfaces.yaml
editors: setup ## train what `make compare` compares: ten methods, three seeds, about an hour on two cores
	time sat3d compare --config $(COMPARISON) --train_only true

compare: setup ## compare all methods on the embedded world; QUICK=true for one seed and 24 codes
	sat3d compare --config $(COMPARISON) $(if $(QUICK),--quick true --out runs/compare/quick)

bench: setup ## run every script of benchmarks/ but the studies, which take hours
	@for script in $(filter-out benchmarks/stylespace% benchmarks/labelled% benchmarks/kills% benchmarks/inversion%,$(wildcard benchmarks/*.py)); do echo "== $$script"; python "$$script"; done

DEVICE ?= cpu
bench-generators: setup ## seconds and memory of large generators against the plain way (DEVICE=cuda for a GPU)
	python benchmarks/generators.py --device $(DEVICE) --out docs/benchmarks/generators-$(DEVICE).json

bench-jacobian: setup ## seconds, memory and errors of gradient maps against a loop of backward passes
	python benchmarks/jacobian.py --out docs/benchmarks/jacobian-cpu.json

bench-discovery: setup ## StyleSpace's discovery from nothing to figures: one process, two, and a large StyleGAN2
	python benchmarks/discovery.py --out docs/benchmarks/discovery-cpu.json

bench-training: setup ## samples a second and time to the first step of every trainer; DDP against independent runs
	python benchmarks/training.py --out docs/benchmarks/training-cpu.json
	python benchmarks/training.py --study scaling --out docs/benchmarks/scaling-cpu.json
	python benchmarks/training.py --study exactness --out docs/benchmarks/exactness-cpu.json

bench-inversion: setup ## pictures of the world inverted in every way, and edited (an hour)
	python benchmarks/inversion.py --out docs/benchmarks/inversion.json
	python benchmarks/inversion.py --seconds --out docs/benchmarks/inversion.json

bench-stylespace: setup ## what StyleSpace's discovery is worth: DCI, true channels, Attribute Dependency (hours)
	for study in truth dependency dci; do python benchmarks/stylespace.py --study $$study; done

# uv where it can be had, else plain venv and pip; both take the versions that constraints.txt records.
$(INSTALLED): pyproject.toml constraints.txt
	@command -v uv >/dev/null || $(PYTHON) -m pip install --quiet uv || echo "no uv: using venv and pip, which is slower"
	@if command -v uv >/dev/null; then \
	    test -x $(VENV)/bin/python || uv venv --python "$(PYTHON)" $(VENV); \
	    uv pip install --python $(VENV)/bin/python --constraint constraints.txt --editable '.[all,dev]'; \
	else \
	    test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV); \
	    $(VENV)/bin/python -m pip install --constraint constraints.txt --editable '.[all,dev]'; \
	fi
	@touch $@
