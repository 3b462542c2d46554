PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lint

# The two lines of the README, with the extra each target needs.
define install
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.$(1)'
endef

demo:
	$(call install,)
	$(BIN)/sparsefire fit digits --effort quick
	@echo "The report is runs/digits/report.html"

test:
	$(call install,[dev])
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all:
	$(call install,[dev])
	$(BIN)/python -m pytest -n 2

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_installed.py
