# The two commands of the README: `make run` and `make test`. Both start from python3 (3.11 or newer) and make alone.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

run: $(BIN)/.installed .env ## Web server and worker, with sample people, at http://127.0.0.1:8000/admin/ (PORT= moves it)
	@$(if $(PORT),PORT=$(PORT)) $(BIN)/python manage.py run --demo

test: $(BIN)/.installed-dev ## The tests that need nothing but Python, on SQLite
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q $(TESTS)

# Two a core: a good part of the tests waits for processes and servers.
WORKERS = $(shell $(BIN)/python -c 'import os; print(2 * (os.cpu_count() or 1))')

lint: $(BIN)/.installed-dev ## Style, types, migrations, deployment checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	.ci/checks $(BIN)/python

format: $(BIN)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

browser: $(BIN)/.installed-dev ## Browser tests (needs Chromium)
	@$(BIN)/python -m pytest -q -p no:randomly -o addopts="" -n 2 --dist loadfile $(or $(TESTS),tests/browser)

endure: $(BIN)/.installed-dev ## Kills, faults and restarts, with real processes; all of it with TEST_DATABASE_URL=postgres://…
	@$(BIN)/python -m pytest -q -s -p no:randomly -o addopts="" $(or $(TESTS),tests/endurance)

bench: $(BIN)/.installed-dev ## Measurements: ratios, side by side in one run
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick)

screenshots: $(BIN)/.installed-dev ## The README's pictures (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots

lock: ## Compiles the hashed requirements (needs uv)
	uv pip compile pyproject.toml $(LOCK) -o requirements.txt
	uv pip compile pyproject.toml --extra celery -c requirements.txt $(LOCK) -o requirements-celery.txt
	for extra in amazon-ses postal resend sendgrid; do \
	    uv pip compile pyproject.toml --extra $$extra -c requirements.txt $(LOCK) -o requirements-$$extra.txt || exit 1; done
	uv pip compile --group dev -c requirements.txt $(LOCK) -o requirements-dev.txt
LOCK = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make run PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(BIN)/.installed: requirements.txt $(BIN)/python
	@echo "Installing what the lock names (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(BIN)/.installed-dev: requirements-dev.txt $(BIN)/.installed
	@echo "Installing what the tests need (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

.env: | $(BIN)/python
	@umask 077 && $(BIN)/python -c 'import secrets; print("SECRET_KEY=" + secrets.token_urlsafe(50)); print("DEBUG=true")' > $@
	@echo "Wrote .env with a fresh SECRET_KEY"

.PHONY: run test lint format browser endure bench screenshots lock
