# Two commands: `make demo` shows fundusd at work, `make test` proves it. Both set themselves up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test faults soak year lint phantom clean

demo: .venv/installed
	$(BIN)/fundusd demo

test: .venv/installed-dev lint
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term $(PYTEST_ARGS)

# every fault of docs/faults.md, with a verdict on each row; ROW=12 runs one, ARGS="-k link" some
faults: .venv/installed-dev
	FUNDUSD_FAULTS=all FUNDUSD_FAULTS_ROW=$(ROW) timeout 7200 $(BIN)/python -m pytest -q -n 2 --no-cov \
		$$($(BIN)/python tests/faults/matrix.py) $(ARGS)

# writers, kills, outages and database restarts at random, then quiet and the oracle: once on each database
soak: .venv/installed-dev
	PYTHONPATH=.:tests/bench $(BIN)/python tests/faults/soak.py --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

# a generated year of 200,000 captures: every view compared on both databases, and timed; ten minutes, 1.5 GB of memory
year: .venv/installed-dev
	PYTHONPATH=.:tests/bench $(BIN)/python tests/bench/year.py --captures $(or $(CAPTURES),200000) --seed $(or $(SEED),1)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# train the shipped test model again; it takes some minutes
phantom: .venv/installed-dev
	$(BIN)/python tests/train_phantom.py --out daemon/fundusd/model/phantom

clean:
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("fundusd needs Python 3.11 or later: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'

.venv/installed: pyproject.toml | .venv/bin/python
	@echo "Installing fundusd and its libraries into .venv (once, about a minute) …"
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	@echo "Installing fundusd, its libraries and the test tools into .venv (once) …"
	$(BIN)/pip install --quiet --editable . --group dev
	@touch $@ .venv/installed
