# make run            set up what is missing, then the batch over the demo library (MUSIC=folder for your own) and `segue up`
# make test           set up, then the tests          make lint   the linter, the formatter, the type checker
# make lock           write requirements.lock anew    make clean  remove the environment and the demo library
# make audit          known holes in what is locked, as PyPI tells them
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
	@$(BIN)/ruff check jobs serving dags tests
	@$(BIN)/ruff format --check jobs serving dags tests
	@$(BIN)/mypy

.venv/.ready: requirements.lock setup.cfg pyproject.toml spark_conf/jars.lock .ci/setup
	@bash .ci/setup

# A package that is not locked yet must not keep the lock from being written: uv is all it takes.
lock:
	@[ -x $(BIN)/uv ] || bash .ci/setup
	@$(BIN)/uv pip compile --quiet setup.cfg --extra dev --extra server --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --custom-compile-command 'make lock' -o requirements.lock

# In an environment of its own: what it needs is none of ours.
audit: .venv/.ready
	@$(BIN)/uv tool run --quiet pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

clean:
	@rm -rf .venv demo
