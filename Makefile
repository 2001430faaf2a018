# Each target does its own set-up: all it needs is Python 3.11 or 3.12 and a package registry.
#   make demo    import real photos into a throw-away library, label them, search    (PHOTOS=DIR, MODEL=DIR)
#   make relay   a relay on this machine, and what to type in a second terminal      (RELAY=DIR)
#   make test    tests, strict types, lint, import contracts
#   make audit   are locked dependencies known to be vulnerable?           (AUDIT_ACCEPTED="ID ...")
#   make soak    the long tests, ten minutes a part, and their counts           (SECONDS=N, SEED=N, PART=NAME)
#   make guards  each guard is taken out, in a copy of the tree, and a test has to fail       (GUARD=NAME)
#   make bench   the figures quoted in the docs, as ratios                           (SAFELIGHT_TEST_DATA=DIR)
#   make screenshots    the pictures in the docs, drawn anew
#   make lock    resolve the locked dependencies again

PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && command -v "$$p" && break; done)
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN = $(VENV)/Scripts
else
BIN = $(VENV)/bin
endif
READY = $(VENV)/.ready
GUIDED = $(VENV)/.guided
PHOTOS ?=
MODEL ?=
RELAY ?=
SECONDS ?=
SEED ?=
PART ?=
GUARD ?=

.PHONY: demo relay test tests soak guards types lint contracts audit bench screenshots lock clean

# What is compiled while the tests run is kept for their hundreds of processes, also where the shell's own keep nothing.
unexport PYTHONDONTWRITEBYTECODE

# Advisories on what is locked that do not matter here, each with its reason in a comment.
AUDIT_ACCEPTED ?=

PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# A change of the locked dependencies, or of the entry points, installs again. uv does it in a tenth of pip's time, of the
# same lock; it knows nothing of pip's settings, so that pip does it where uv cannot.
$(READY): requirements/dev.txt requirements/installer.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or 3.12 was not found; name one with PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	{ $(PIP) --require-hashes -r requirements/installer.txt && \
	  $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt; } || \
	  { echo "make: uv could not install what is locked; pip tries" >&2; $(PIP) --require-hashes -r requirements/dev.txt; }
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# What guides fuzzing by coverage, of its own lock: only the soak wants it, it is large, and there are wheels for 64-bit
# Linux alone. Without it the soak goes on, and says so.
$(GUIDED): requirements/fuzz.txt $(READY)
	@$(PIP) --only-binary :all: --require-hashes -r requirements/fuzz.txt && touch $@ || \
	  echo "make: atheris could not be installed; the soak fuzzes without coverage to go by" >&2

demo: $(READY)
	@$(BIN)/python -P -m tui.demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(MODEL),--model "$(MODEL)")

relay: $(READY)
	@$(BIN)/python -P -m tui.relay_demo $(if $(RELAY),"$(RELAY)")

test: lint types contracts tests

tests: $(READY)
	$(BIN)/python -m pytest -n 3 --dist worksteal

soak: $(READY) $(if $(filter-out fuzz,$(PART)),,$(GUIDED))
	$(BIN)/python -P -m tests.soak $(if $(SECONDS),--seconds "$(SECONDS)") $(if $(SEED),--seed "$(SEED)") $(if $(PART),--part "$(PART)")

guards: $(READY)
	$(BIN)/python -P -m tests.guards $(GUARD)

types: $(READY)
	$(BIN)/python -m mypy

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

contracts: $(READY)
	$(BIN)/lint-imports

audit: $(READY)
	$(BIN)/python -P .ci/audit.py $(addprefix --accept ,$(AUDIT_ACCEPTED)) requirements/dev.txt requirements/fuzz.txt deploy/requirements.txt

bench: $(READY)
	$(BIN)/python -P -m benchmarks

screenshots: $(READY)
	$(BIN)/python -P docs/screenshot.py
	$(BIN)/python -P docs/screenshot_app.py

lock:
	$(PIP) uv
	echo uv | $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		- --output-file requirements/installer.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra dev --extra demo --extra relay pyproject.toml --output-file requirements/dev.txt
	sed -n 's/^fuzz = \["\(.*\)"\]$$/\1/p' pyproject.toml | \
		$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		- --output-file requirements/fuzz.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		deploy/requirements.in --output-file deploy/requirements.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
