# Every target does its own set-up: a virtual environment in .venv, filled from requirements.lock.
PYTHON ?= $(shell scripts/find-python)
LOCK_PYTHON ?= $(shell scripts/find-python 3.12)
VENV   := .venv
BIN    := $(VENV)/bin
CORES  := $(shell getconf _NPROCESSORS_ONLN)
# More than there are cores, because most tests wait for the processes that they have started.
WORKERS ?= $(shell expr $(CORES) + 2)

.PHONY: help install demo run test quick thorough check format bench bench-frames bench-page bench-scroll soak fuzz docs lock clean

help:
	@echo "make demo     start the demo apps and the gateway in mitmweb in front of them"
	@echo "make run      run the gateway with configs/gateway.yaml"
	@echo "make test     all tests, in WORKERS processes (chromium, node, npm and prometheus are used when they are there)"
	@echo "make quick    unit tests that start no process"
	@echo "make thorough the same with 50 times as many generated examples"
	@echo "make check    ruff, ruff format, mypy --strict, import contracts"
	@echo "make bench    speed beside nginx, HAProxy and plain mitmdump, on this machine (ARGS=--quick for a glance)"
	@echo "make bench-frames  what it costs to understand a LiveView frame"
	@echo "make bench-page  what WebSockets lose while the admin page is open"
	@echo "make bench-scroll  how smoothly the admin page's table scrolls with 5,000 sessions"
	@echo "make soak     15 minutes under load, with reloads and the admin page open (ARGS='--minutes 2' for a glance)"
	@echo "make fuzz     a million byte streams through the WebSocket codec (ARGS='--count 50000' for fewer)"
	@echo "make docs     write the generated documents anew"
	@echo "make install  only set up .venv"
	@echo "make lock     write requirements.lock anew"

$(VENV)/.installed: requirements.lock pyproject.toml scripts/find-python
	@test -n "$(PYTHON)" || { echo "livegate needs Python 3.12 or newer: apt-get install python3.13-venv, or pyenv install 3.13" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/livegate demo $(ARGS)

run: install
	$(BIN)/livegate run $(ARGS)

test: install
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(ARGS)

quick: install
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile -m "not process" -q $(ARGS) tests/unit

thorough: install
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile -m "not process" -q --hypothesis-profile=thorough $(ARGS) tests/unit

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m tests.bench $(ARGS)

bench-frames: install
	$(BIN)/python -m tests.bench.inspection

bench-page: install
	$(BIN)/python -m tests.bench.page_cost $(ARGS)

bench-scroll: install
	$(BIN)/python -m tests.bench.scrolling

soak: install
	$(BIN)/python -m tests.bench.soak $(ARGS)

fuzz: install
	$(BIN)/python tests/fuzz $(ARGS)

docs: install
	$(BIN)/python scripts/settings_reference.py
	$(BIN)/typer livegate.cli.app utils docs --name livegate --title "Command line" --output docs/reference/cli.md
	$(BIN)/python scripts/api_reference.py

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Written with the oldest Python that is supported: what it pins installs on the newer ones as well.
# scripts/check-wheel tries the newest and the oldest versions that pyproject.toml allows; the lock is for what is in between.
lock:
	@test -n "$(LOCK_PYTHON)" || { echo "make lock needs Python 3.12: pyenv install 3.12" >&2; exit 1; }
	$(LOCK_PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check "pip-tools>=7.4,<8"
	.venv-lock/bin/pip-compile --upgrade --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-header --constraint scripts/lock-constraints.txt --extra demo --extra fast --extra otel --extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist
