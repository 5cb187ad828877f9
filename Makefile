# make run     set up if needed, run the batch over the demo library (MUSIC=folder for your own), then `segue up`
# make test    set up if needed, run the tests
# make lint    linter, formatter, type checker, import contracts
# make lock    resolve requirements.lock again
# make audit   list known vulnerabilities of the locked packages (PyPI's advisories)
# make clean   remove the environment and the demo library
MUSIC ?=
BIN = .venv/bin

.PHONY: run test lint lock audit clean
run: .venv/.ready
ifeq ($(strip $(MUSIC)),)
	@$(BIN)/segue demo --out demo
	@$(BIN)/segue run --library demo
	@$(BIN)/segue up --library demo
else
	@$(BIN)/segue run --library '$(subst ','\'',$(MUSIC))'
	@$(BIN)/segue up --library '$(subst ','\'',$(MUSIC))'
endif

test: .venv/.ready
	@$(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.ready
	@$(BIN)/ruff check .ci jobs serving dags tests
	@$(BIN)/ruff format --check .ci jobs serving dags tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

.venv/.ready: requirements.lock setup.cfg pyproject.toml spark_conf/jars.lock .ci/setup
	@bash .ci/setup

# Needs only uv, not .ready: a new package must be locked before set-up can install it.
lock:
	@[ -x $(BIN)/uv ] || bash .ci/setup
	@$(BIN)/uv pip compile --quiet setup.cfg --extra dev --extra server --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --custom-compile-command 'make lock' -o requirements.lock

# In a separate environment: pip-audit's own dependencies are not in the lock.
audit: .venv/.ready
	@$(BIN)/uv tool run --quiet pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

clean:
	@rm -rf .venv demo
