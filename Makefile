# make run     set up if needed, run the batch over the demo library (MUSIC=folder for your own), then `segue up`
# make check   the loop while one works: lint, and all tests that need no JVM, server or browser
# make test    set up if needed, run all tests
# make lint    linter, formatter, type checker, import contracts
# make lock    resolve requirements.lock and requirements-dev.lock again
# make audit   list known vulnerabilities of the locked packages (PyPI's advisories)
# make clean   remove the environment and the demo library
MUSIC ?=
BIN = .venv/bin
COMPILE = $(BIN)/uv pip compile --quiet setup.cfg --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock'

# An environment whose Python is gone (after an upgrade of the system) is made again.
$(shell [ ! -e .venv/.ready ] || $(BIN)/python -c '' 2>/dev/null || rm -f .venv/.ready .venv/.ready-dev)

# Where it is set each process compiles its imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run check test lint lock audit clean
run: .venv/.ready
ifeq ($(strip $(MUSIC)),)
	@$(BIN)/segue demo --out demo
	@$(BIN)/segue run --library demo
	@$(BIN)/segue up --library demo
else
	@$(BIN)/segue run --library '$(subst ','\'',$(MUSIC))'
	@$(BIN)/segue up --library '$(subst ','\'',$(MUSIC))'
endif

check: lint
	@$(BIN)/python -m pytest tests/unit -m 'not slow' -q --numprocesses 2 --dist loadfile --durations 5

test: .venv/.ready-dev
	@$(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25

lint: .venv/.ready-dev
	@$(BIN)/ruff check .ci jobs serving dags tests
	@$(BIN)/ruff format --check .ci jobs serving dags tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

.venv/.ready: requirements.lock setup.cfg pyproject.toml spark_conf/jars.lock .ci/setup
	@bash .ci/setup

.venv/.ready-dev: .venv/.ready requirements-dev.lock
	@bash .ci/setup dev

# Needs only uv, not .ready: a new package must be locked before set-up can install it. The second lock has what the first lacks.
lock:
	@[ -x $(BIN)/uv ] || bash .ci/setup
	@$(COMPILE) --extra server -o requirements.lock
	@$(COMPILE) --extra server --extra dev -c requirements.lock \
	  $$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package \1/p' requirements.lock) -o requirements-dev.lock

# In a separate environment: pip-audit's own dependencies are not in the lock.
audit: .venv/.ready
	@$(BIN)/uv tool run --quiet pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  -r requirements.lock -r requirements-dev.lock

clean:
	@rm -rf .venv demo
