# Two commands do everything on a fresh machine: `make tune` and `make test`.
PYTHON ?= python3
PYTHONS := 3.11 3.12 3.13 3.14
BIN := .venv/bin
FAST := not slow and not extra and not gpu and not cluster
SLOWEST := --durations=40 --durations-min=1

.DEFAULT_GOAL := help
.PHONY: help
help:
	@awk '/^#/ {said = said substr($$0, 2)} \
		/^[a-z-]+:/ && said {split($$1, name, ":"); sub(/[.:;,]( .*)?$$/, "", said); printf "make %-13s%s\n", name[1], said} \
		!/^#/ {said = ""}' Makefile

.PHONY: setup tune test test-all test-cluster check try-ray coverage soak bench bench-gpu clean lock

# The environment, in .venv
setup: .venv/ready

# uv, itself installed by its hash, installs the rest ten times as fast as pip. Bytecode is compiled here, once:
# a search starts a dozen processes, and without it each of them would compile torch and ray again.
# The mark comes last, so that an interrupted set-up is begun again.
.venv/ready: requirements.lock pyproject.toml
	@found=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2] + getattr(sys, "abiflags", ""))' 2> /dev/null); \
	case " $(PYTHONS) " in *" $${found:-none} "*) ;; *) \
		[ "$$found" ] && said="is Python $$found" || said="does not run"; \
		echo "$(PYTHON) $$said; supported are $(PYTHONS): make setup PYTHON=python3.12" >&2; exit 1;; esac
	$(PYTHON) -m venv --clear .venv
	awk '/^[a-z]/ {wanted = /^uv==/} wanted' requirements.lock > .venv/uv.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock 2>&1 \
		| grep -v '^WARNING: Location' || true
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch .venv/ready

# A small search on a built-in corpus of synthetic machines.
tune: setup
	$(BIN)/asd-ray tune

# The tests that every change must pass: make check, then whole searches, killed and interrupted ones too.
test: check
	$(BIN)/pytest $(SLOWEST) -m "slow or gpu"

# Every test on one machine: make test, and what takes long and seldom breaks; some twenty minutes on two cores.
test-all: check
	$(BIN)/pytest $(SLOWEST) -m "slow or gpu or extra"

# Clusters of fake machines (namespaces with sshd): real `ray up`, a worker killed, an AWS that is none. Needs root and
# openssh-server, iproute2, rsync; some six minutes, and what happens is shown as it does.
test-cluster: setup
	$(BIN)/pytest $(SLOWEST) -s --numprocesses 2 -m cluster tests/fake_cluster

# What to run before a commit: lint and the tests that start no Ray, two to four at a time; four minutes on two cores.
check: setup lint
	$(BIN)/pytest $(SLOWEST) --numprocesses logical --maxprocesses 4 --dist loadfile -m "$(FAST)"

# What touches Ray, with another version of it: make try-ray RAY=2.61.0. See docs/next-ray.md.
try-ray: setup
	@[ "$(RAY)" ] || { echo "say which: make try-ray RAY=2.61.0" >&2; exit 1; }
	$(BIN)/python -m venv --clear .venv-ray
	$(BIN)/uv pip sync --quiet --python .venv-ray/bin/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python .venv-ray/bin/python "ray[data,default,train,tune]==$(RAY)"
	$(BIN)/uv pip install --quiet --python .venv-ray/bin/python --no-deps --no-build-isolation --editable .
	.venv-ray/bin/pytest tests/cluster tests/lanes tests/end_to_end/test_notebook.py tests/end_to_end/test_shared_machine.py

# Lines of asd_ray/ that no test of make test-all runs, in the processes that tests start, too. Some half an hour.
coverage: setup
	$(BIN)/pytest --cov --cov-report=term-missing:skip-covered -m "not cluster"

.PHONY: lint
lint:
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary

# Kill a search at twenty random moments; nothing may be lost or done twice. Some fifteen minutes.
soak: setup
	$(BIN)/python tests/soak.py

# Pieces of a trial against the plain way of doing them, side by side. Two minutes; benchmarks/run.py --full: more.
bench: setup
	$(BIN)/python benchmarks/run.py

# Seconds per epoch on a GPU, with the torch that is there: needs no set-up, no ray.
bench-gpu:
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py

# Resolve the newest versions that pyproject.toml allows, for every Python, with hashes and without addresses.
lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version $(firstword $(PYTHONS)) --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --extra dev --upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .venv-ray .coverage .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
