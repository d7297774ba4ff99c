# Needs make and Python 3.11 or newer. All but `clean` set up .venv by themselves, once,
# and again when the requirements change. Name another interpreter with `make test PYTHON=python3.12`.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
LINT_READY := $(VENV)/.ready-lint
REQUIREMENTS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: help demo test lint docs dist bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   protect real faces, attack them, write out/demo/report.html"
	@echo "make test   run the tests"
	@echo "make lint   ruff, pyright and the import contracts"
	@echo "make docs   build the pages into out/docs/index.html, without network"
	@echo "make dist   build wheel and source archive into dist/"
	@echo "make bench  run the benchmarks"
	@echo "make clean  remove .venv, caches and builds (never out/)"
	@echo "More arguments go into ARGS: make test ARGS='-k transcript'"

demo: $(READY)
	$(BIN)/fl-crafter demo --out out/demo $(ARGS)

# A file's tests share what they set up, so that each file has one process.
test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(LINT_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

dist: $(READY)
	$(BIN)/hatchling build

bench: $(READY)
	$(BIN)/fl-crafter bench crafting $(ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fl-crafter needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV): a few minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable ".[simulation,demo,evaluation,tests]"
	@touch $@

$(LINT_READY): $(READY)
	@echo "Adding the development tools to $(VENV)."
	@$(INSTALL) --editable ".[dev]"
	@touch $@
