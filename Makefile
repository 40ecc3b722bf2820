# `make demo` shows fundusd at work; `make test` runs its tests. Each first installs what it needs.
# Each interpreter has its own virtual environment: make test PYTHON=python3.13
PYTHON ?= python3
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
# the versions with which the tests last passed, one file per Python; only `make lock` updates them
LOCK = $(wildcard tests/constraints/python$(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt)
PIP_INSTALL = $(BIN)/pip install --quiet $(UPGRADE) --editable . $(addprefix --constraint ,$(LOCK))

RECENT_PYTHON = $(PYTHON) -c 'import sys; sys.exit("fundusd needs Python 3.11 or later: make PYTHON=python3.12 …" \
	if sys.version_info < (3, 11) else 0)'
# the service sees no home folder
SHARED_PYTHON = $(PYTHON) -c 'import sys; sys.exit("The service cannot run " + sys.base_prefix + ": install Python for all users, " \
	"and name it: sudo make install PYTHON=/usr/bin/python3" if sys.base_prefix.startswith(("/home/", "/root/")) else 0)'

.PHONY: demo test check test-latest lock pytest lint coverage faults soak year phantom clean

demo: $(VENV)/installed
	$(BIN)/fundusd demo

# the linters and the tests run in parallel, and a failure of one does not stop the other
test: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=none lint pytest

# check between edits: lint, types and the tests of domain, clinical and files, in less than a minute
check: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory --jobs=2 --keep-going lint pure

# test with the newest versions of all libraries and tools, in a separate environment
test-latest: VENV := $(VENV)-latest
test-latest:
	@rm -f $(VENV)/installed-dev
	@$(MAKE) --no-print-directory test VENV=$(VENV) LOCK= UPGRADE='--upgrade --upgrade-strategy eager'

# rewrite tests/constraints for each supported Python that is installed
lock:
	tests/constraints/refresh.sh

# four processes, also on two cores: tests of the daemon spend most of their time waiting for it
pytest: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 4 $(PYTEST_ARGS)

# compare every exam of the enumeration with the oracle of docs/exams.md; takes half an hour
.PHONY: oracle
oracle: $(VENV)/installed-dev
	FUNDUSD_ORACLE=all $(BIN)/python -m pytest -q -s --timeout 3600 tests/oracle

.PHONY: pure
pure: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q tests/domain tests/clinical tests/files daemon/fundusd/domain daemon/fundusd/clinical

# every linter runs, whichever of them fails
lint: $(VENV)/installed-dev
	@status=0; for linter in 'ruff check .' 'ruff format --check .' mypy lint-imports; do \
		echo "$(BIN)/$$linter"; $(BIN)/$$linter || status=1; done; exit $$status

# show which lines the tests run; with tracing, the tests take half as long again
coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 4 --cov --cov-report=term $(PYTEST_ARGS)

# test every fault in docs/faults.md, with a verdict on each row; ROW=12 runs one row, ARGS="-k link" some
faults: $(VENV)/installed-dev
	FUNDUSD_FAULTS=all FUNDUSD_FAULTS_ROW=$(ROW) timeout 7200 $(BIN)/python -m pytest -q -n 2 \
		$$($(BIN)/python tests/faults/matrix.py) $(ARGS)

# run writers, kills, outages and database restarts at random, then a quiet period and the oracle, on each database
soak: $(VENV)/installed-dev
	PYTHONPATH=. $(BIN)/python tests/faults/soak.py --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

# generate a year of 200,000 captures, compare every view on both databases and time it; ten minutes, 1.5 GB of memory
year: $(VENV)/installed-dev
	PYTHONPATH=. $(BIN)/python tests/bench/year.py --captures $(or $(CAPTURES),200000) --seed $(or $(SEED),1)

# retrain the shipped test model; this takes several minutes
phantom: $(VENV)/installed-dev
	PYTHONPATH=. $(BIN)/python tests/train_phantom.py --out daemon/fundusd/model/phantom

# install or upgrade the service, as root; settings, database and caches stay as they are
.PHONY: install install-steps
install:
	@[ "$$(id -u)" = 0 ] || { echo "Only root can install the service: sudo make install" >&2; exit 1; }
	@umask 022 && $(MAKE) --no-print-directory install-steps  # another umask may hide the program from the service

install-steps:
	@$(RECENT_PYTHON)
	@$(SHARED_PYTHON)
	$(PYTHON) -m venv /opt/fundusd
	/opt/fundusd/bin/python3 -m pip install --quiet .
	ln -sf /opt/fundusd/bin/fundusd /usr/bin/fundusd  # not /usr/local/bin, where some sudo do not look
	install -D -m 644 systemd/fundusd.sysusers.conf /usr/lib/sysusers.d/fundusd.conf
	systemd-sysusers fundusd.conf
	install -d -o fundusd -g fundusd -m 750 /var/lib/fundusd /var/cache/fundusd
	[ -e /etc/fundusd/fundusd.toml ] || install -D -m 644 config/fundusd.toml /etc/fundusd/fundusd.toml
	install -D -m 644 -t /etc/systemd/system systemd/fundusd.service systemd/fundusd@.service
	systemctl daemon-reload
	install -d /usr/local/share/man/man1
	/opt/fundusd/bin/fundusd man > /usr/local/share/man/man1/fundusd.1

clean:
	rm -rf .venv .venv-* dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*

$(VENV)/bin/python:
	@$(RECENT_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/installed: pyproject.toml $(wildcard tests/constraints/*.txt) | $(VENV)/bin/python
	@echo "Installing fundusd and its libraries into $(VENV) (once, about a minute) …"
	$(PIP_INSTALL)
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(wildcard tests/constraints/*.txt) | $(VENV)/bin/python
	@echo "Installing fundusd, its libraries and the test tools into $(VENV) (once) …"
	$(PIP_INSTALL) --group dev
	@touch $@ $(VENV)/installed
