# Everything runs in a virtual environment of the project's own; only python3 (>= 3.11) and make are needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

CLAIMED := $(shell sed -n 's/^experiment = "\(.*\)"/\1/p' experiments/claims/*.toml | sort -u)
REFERENCE := results/reference

# make truth: which cases (all, smoke, random:SEED, or a shell pattern), of which kernel (a Debian package, 6.12, 7.3, or a bzImage).
CASES  ?= all
KERNEL ?= linux-image-amd64

# make fuzz: how long each kind of document is tried.
SECONDS ?= 60

# Where a shell forbids caches of bytecode, each of the hundreds of processes of a run of the tests would compile
# everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run fast slow test pytest site mutants fuzz bench truth truth-ns lint baselines readme constraints clean
help:
	@echo "make run    the main experiment, from nothing to a figure"
	@echo "make fast   compile the core in place (needs a C compiler; two to three minutes, seconds where little has changed)"
	@echo "make slow   back to plain Python"
	@echo "make test   lint, types, import contracts and all tests"
	@echo "make mutants  do the tests notice faults? hundreds of them, each put into a copy of the tree (minutes)"
	@echo "make fuzz   every parser on mutated documents, a minute each (SECONDS=60)"
	@echo "make bench  speed, with the bars it is held to"
	@echo "make truth  what a real kernel does with our images (Debian, root; CASES=smoke: minutes)"
	@echo "make truth-ns  how long it takes, at the speed of this CPU (user-mode Linux; CASES=smoke: minutes)"
	@echo "make readme  write the numbers of README.md and its documents anew, from the committed results"
	@echo "make site   the documents as a site, in build/site"
	@echo "make constraints  write the versions of all libraries anew: the newest that are allowed"
	@echo "make lint   ruff, mypy --strict, import-linter"
	@echo "make baselines  run every experiment there are claims on; record the results and figures"

# The versions of constraints.txt: bytes of results and figures depend on some of them.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "readpath needs Python >= 3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# The newest versions that pyproject.toml allows, as a new environment gets them. Then: make baselines.
constraints:
	$(PYTHON) -m venv --clear $(VENV).new
	$(VENV).new/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	( sed -n '/^#/p' constraints.txt; \
	  $(VENV).new/bin/pip freeze --disable-pip-version-check --exclude-editable ) > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV).new

run: $(VENV)/ready
	$(BIN)/readpath run experiments/per_block_vs_per_extent.toml

fast: $(VENV)/ready slow
	READPATH_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/readpath --version

slow:
	find sim . -maxdepth 4 -name '*.so' -not -path './$(VENV)/*' -delete

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Side by side: mypy takes a minute, on one core.
test: $(VENV)/ready
	$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: $(VENV)/ready
	$(BIN)/pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

# One fault at a time in a copy of the tree; the tests that are about it must fail (lists in tests/mutants/).
mutants: $(VENV)/ready
	$(BIN)/python tests/mutants/run.py

fuzz: $(VENV)/ready
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS)

bench: $(VENV)/ready
	$(BIN)/python tests/bench/run.py

# Shows what changes in each baseline before it is written. A claim that fails does not stop the others; the
# last line checks all again and fails then.
baselines: $(VENV)/ready
	for name in $(CLAIMED); do \
	    $(BIN)/readpath run experiments/$$name.toml -o results/runs/reference/$$name --quiet || exit 1; \
	    $(BIN)/readpath check results/runs/reference/$$name --update-baseline || test $$? = 1 || exit 1; \
	done
	cp results/runs/reference/per_block_vs_per_extent/figures/cpu_per_4k.png $(REFERENCE)/per_block_vs_per_extent.png
	cp results/runs/reference/fragmentation/figures/overhead_map.png $(REFERENCE)/fragmentation.png
	cp results/runs/reference/large_folios/figures/folios.png $(REFERENCE)/large_folios.png
	cp results/runs/reference/crash/figures/crash.png $(REFERENCE)/crash.png
	cp results/runs/reference/checksum_layouts/figures/checksums_2.png $(REFERENCE)/checksum_layouts.png
	cp results/runs/reference/device_bound/figures/device_bound.png $(REFERENCE)/device_bound.png
	$(BIN)/readpath timeline -o $(REFERENCE) --format png
	$(BIN)/readpath check

readme: $(VENV)/ready
	$(BIN)/python docs/readme/quoted.py

site: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

truth: $(VENV)/ready
	$(BIN)/python experiments/kernel/truth.py --cases '$(CASES)' --kernel '$(KERNEL)'

truth-ns: $(VENV)/ready
	$(BIN)/python experiments/kernel/native.py --cases '$(CASES)'

clean:
	rm -rf $(VENV) build results/runs results/images results/kernel/build
