# Everything runs in a virtual environment of the project's own; only python3 (>= 3.11) and make are needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# make truth: which cases (all, smoke, or a shell pattern), of which kernel (a Debian package, or a bzImage).
CASES  ?= all
KERNEL ?= linux-image-amd64

.PHONY: help run test bench truth lint clean
help:
	@echo "make run    the main experiment, from nothing to a figure"
	@echo "make test   lint, types, import contracts and all tests"
	@echo "make bench  speed, with the bars it is held to"
	@echo "make truth  what a real kernel does with our images (Debian, root; CASES=smoke: minutes)"
	@echo "make lint   ruff, mypy --strict, import-linter"

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "readpath needs Python >= 3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

run: $(VENV)/ready
	$(BIN)/readpath run experiments/per_block_vs_per_extent.toml

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest

bench: $(VENV)/ready
	$(BIN)/python tests/bench/run.py

truth: $(VENV)/ready
	$(BIN)/python experiments/kernel/truth.py --cases '$(CASES)' --kernel '$(KERNEL)'

clean:
	rm -rf $(VENV) results/runs results/images results/kernel/build
