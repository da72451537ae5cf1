# Two commands set everything up on a fresh machine: `make demo` and `make test`. Both are safe to run twice.
VENV ?= .venv
BIN := $(VENV)/bin
# The first Python of a version that MONAI Label runs on.
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12 python3.10,$(shell $(p) -c 'import sys; print(sys.executable) if (3, 10) <= sys.version_info[:2] <= (3, 12) else None' 2>/dev/null | grep -v None)))
OUT ?= demo
DATA ?=

# Without bytecode each process compiles anew what it imports, and pytest what its plugins are made of: ten seconds a worker.
unexport PYTHONDONTWRITEBYTECODE

# Side by side: most seconds are those of types and contracts, each on one core.
CHECKS := $(addprefix lint-,types panel rooms style figures)

.PHONY: demo test quick lint docs format serve clean help $(CHECKS) $(QUICK)

help:
	@echo "make demo [DATA=DIR]  an annotation session on a real server, with its forecast (under 7 minutes)"
	@echo "make test             style, architecture and all tests"
	@echo "make quick            the same without what is slow, for while you write (under a minute)"
	@echo "make docs             the picture of the rooms, the contract's schema; then figures, links and commands of all pages"
	@echo "make serve STUDIES=DIR"

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10, 3.11 or 3.12 found: install one, or say PYTHON=/path/to/python" >&2; exit 2; }
	@echo "Setting up $(VENV) (a few minutes the first time; PyTorch is large)"
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/scaling-app demo --out $(OUT) $(if $(DATA),--data $(DATA))

# A worker for each core, a file at a time: what a file's tests share is set up once. Each needs a gigabyte of memory.
SPREAD := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: lint
	$(BIN)/python -m pytest $(SPREAD)

# The rooms that need PyTorch to be loaded start first; those that do not, and the checks, run beside them.
QUICK := quick-studies quick-forecast

quick: $(VENV)/.installed
	@$(MAKE) --no-print-directory --keep-going --output-sync --jobs 2 $(QUICK) $(CHECKS)

quick-studies: ROOMS := studies service
quick-forecast: ROOMS := forecast ledger curve architecture storage log

$(QUICK):
	$(BIN)/python -m pytest -q -m "not slow" $(addprefix tests/,$(ROOMS))

lint: $(VENV)/.installed
	@$(MAKE) --no-print-directory --keep-going --output-sync --jobs 2 $(CHECKS)

lint-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-rooms:
	$(BIN)/lint-imports

lint-types:
	$(BIN)/mypy

lint-figures:
	$(BIN)/python -m benchmarks.quoted

lint-panel:
	PYTHONPATH=slicer_extension/DataSufficiency:client $(BIN)/lint-imports slicer_extension/importlinter.toml
	$(BIN)/mypy --config-file slicer_extension/mypy.ini

docs: $(VENV)/.installed
	$(BIN)/python docs/pictures/rooms.py
	$(BIN)/python docs/contract/contract.py
	$(BIN)/python docs/contract/access.py
	$(BIN)/python -m benchmarks.quoted
	$(BIN)/python -m pytest -q tests/docs

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(VENV)/.installed
	$(BIN)/scaling-app serve --studies $(STUDIES)

clean:
	rm -rf $(VENV) $(OUT)
