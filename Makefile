# `make demo` runs the main job, `make test` runs all tests; both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
PAGE_PORT ?= 8501
VIDEO ?=
# Programs are started by `python -m`: the scripts beside it name the folder where they were installed.
# Of the packages' modules few are ever loaded: those are compiled then, not all of them now.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes
# A .venv that is a link belongs to another checkout: it is used as it is, never changed.
LINKED := $(shell test -L $(VENV) && echo yes)
OTHERS = --no-index --dry-run $(addprefix -r ,$(filter %.txt,$^)) >/dev/null 2>&1 || { echo "$(VENV) is a link, and its packages \
are not those of $(filter %.txt,$^). Remove the link (rm $(VENV)), then run make again." >&2; exit 1; }

.PHONY: help usable command compiled setup setup-dev demo test test-fast check serve page up faults bench quality lock clean

help:  ## Shows this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

usable:
	@test ! -e $(VENV) -a ! -L $(VENV) || $(BIN)/python -c "" 2>/dev/null || { echo "The Python of \
	$(VENV) does not run here. Remove $(VENV), then run make again." >&2; exit 1; }

setup: usable $(VENV)/.runtime command  ## Makes .venv with the pinned packages and `screenalytics`

# --no-deps: the pins are complete, and packages that ask for opencv-python (which needs a display's
# libraries) get opencv-python-headless, the same module, instead.
# With what `make up` needs where there is no Redis, the pictures of comparisons, and OTIO.
$(VENV)/.runtime: requirements.txt requirements-redis.txt requirements-pictures.txt requirements-editors.txt | usable
ifdef LINKED
	@$(PIP) $(OTHERS)
else
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(addprefix -r ,$(filter %.txt,$^))
	@touch $@
endif

# The command `screenalytics` of this checkout; that of a copied .venv would run the old one's code.
command: $(VENV)/.runtime
ifndef LINKED
	@test "$$(cat $(VENV)/.checkout 2>/dev/null)" = "$(CURDIR)" -a ! pyproject.toml -nt $(VENV)/.checkout || { \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . && \
	echo "$(CURDIR)" > $(VENV)/.checkout; }
endif

setup-dev: $(VENV)/.dev command  ## Adds what tests, checks and measuring need

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
ifdef LINKED
	@$(PIP) $(OTHERS)
else
	$(PIP) $(addprefix -r ,$(filter %.txt,$^))
	@touch $@
endif

demo: setup  ## Finds the faces of a demo episode, or of VIDEO=file
	$(BIN)/python -m apps.cli.demo $(if $(VIDEO),--video "$(VIDEO)")

# Tests start hundreds of processes, and where nothing compiled is kept each compiles all again.
unexport PYTHONDONTWRITEBYTECODE
compiled: $(VENV)/.dev command
	@$(BIN)/python -m compileall -q apps lab tests tools

# Two cores are busy with four files at once; larger machines take one a core.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 4); echo $$((n > 4 ? n : 4)))

test: compiled  ## Runs all tests, WORKERS=n files at once
	$(BIN)/python -m pytest -m "not alone" -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone $$(grep -rl "mark\.alone" tests --include="*.py")

test-fast: compiled  ## Runs those that need no process, no browser and no real video
	$(BIN)/python -m pytest -m "not slow and not alone" -n 2 --dist loadfile

check: $(VENV)/.dev command  ## Lint, types, import contracts
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -c "from importlinter.cli import lint_imports_command as main; main()"

serve: setup  ## Starts the API on HOST:PORT
	$(BIN)/python -m apps.api --host $(HOST) --port $(PORT)

page: setup  ## Starts the page alone on PAGE_PORT, for the API on PORT
	SCREENALYTICS_API_URL="$${SCREENALYTICS_API_URL:-http://127.0.0.1:$(PORT)}" \
	$(BIN)/python -m apps.ui --server.port $(PAGE_PORT)

up: setup  ## Starts Redis, API, worker and page, stops all on Ctrl-C
	@$(BIN)/python -m apps.cli.up --port $(PORT) --page-port $(PAGE_PORT)

faults: $(VENV)/.dev  ## Injects faults many times; writes docs/reliability.md
	$(BIN)/python -m lab.faults

bench: $(VENV)/.dev  ## Measures a run beside a plain loop and the limit; or on VIDEO=file
	$(BIN)/python -m lab.bench --quick $(if $(VIDEO),--video "$(VIDEO)")

quality: $(VENV)/.dev  ## Measures tracks, cuts and detector; writes docs/quality.md
	$(BIN)/python -m lab.quality

lock:  ## Pins what pyproject.toml asks for, in its newest versions
	$(PYTHON) tools/lock.py

clean:  ## Removes .venv and caches, never data/
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
