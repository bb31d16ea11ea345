# Two commands do everything on a fresh machine: `make tune` and `make test`.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup tune test check bench clean lock

setup: .venv/ready

# The environment is built beside and marked ready last, so an interrupted set-up is begun again.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock 2>&1 | grep -v '^WARNING: Location' || true
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch .venv/ready
