# `make demo`: the main job. `make test`: everything. Needs Python 3.11+, git, make and a C compiler.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.locked

.PHONY: demo test lint programs bench-shim bench-settlement clean

demo: $(STAMP)
	$(VENV)/bin/candor demo --with-parent $(ARGS)

test: $(STAMP) lint programs
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --maxfail 5 $(ARGS)

programs: $(STAMP)
	$(VENV)/bin/candor network programs

bench-shim: $(STAMP) programs
	$(VENV)/bin/python -m benchmarks.shim $(ARGS)

bench-settlement: $(STAMP) programs
	$(VENV)/bin/python -m benchmarks.settlement --network $(ARGS)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(STAMP): requirements-dev.lock pyproject.toml
	@echo "installing the locked dependencies into $(VENV) (TensorFlow is large: some minutes)"
	@$(PYTHON) -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) must be Python 3.11 or later with venv (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

clean:
	rm -rf $(VENV) out .candor .pytest_cache .mypy_cache .ruff_cache
