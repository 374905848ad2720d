# Each target sets up what it needs: a virtual environment in .venv with the packages it uses.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
SIMULATOR_PORT ?= 9000
# Many tests wait for processes: four files at a time are faster even on two cores. 0: one after the other.
TEST_WORKERS ?= 4
BIN := .venv/bin
PARALLEL := -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo demo-cluster run test units check format chaos chaos-cluster outage attack bench fuzz client screenshots lock clean

help:
	@echo "make demo    the service with a RunningHub simulator: no key, no internet"
	@echo "make demo-cluster   the same with three instances, PostgreSQL and nginx"
	@echo "make run     the service alone, with RUNNINGHUB_API_KEY from the environment or .env"
	@echo "make test    all tests           make check        format, lint, types and tests"
	@echo "make units   the tests that start no process, in half a minute"
	@echo "make chaos   kill -9 rounds      make fuzz         ten minutes of unusual requests"
	@echo "make chaos-cluster   the same with three instances and PostgreSQL, both killed"
	@echo "make outage  a minute without RunningHub, with 1,000 tasks waiting"
	@echo "make attack  ten minutes of hostile requests"
	@echo "make bench   performance         make format       formats the code"
	@echo "make lock    pins the versions   make screenshots  the pictures of the docs"
	@echo "make client  the types and the built module of the client package"
	@echo "PORT=, HOST= and SIMULATOR_PORT= are honoured."

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: .venv/bin/python requirements.txt requirements-postgres.txt requirements-dev.txt requirements-telemetry.txt simulator/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/run

.venv/bench: .venv/dev bench/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

.venv/demo: .venv/run simulator/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r simulator/requirements.txt
	@touch $@

.venv/demo-cluster: .venv/demo requirements-postgres.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-postgres.txt
	@touch $@

# Clients built for RunningHub, in an environment of their own: tests/compat runs them.
.venv/compat/installed: .venv/bin/python tests/compat/requirements.txt
	$(PYTHON) -m venv .venv/compat
	.venv/compat/bin/python -m pip install --quiet --disable-pip-version-check -r tests/compat/requirements.txt
	@touch $@

demo: .venv/demo
	@$(BIN)/python -m simulator.demo --host $(HOST) --port $(PORT) --simulator-port $(SIMULATOR_PORT)

demo-cluster: .venv/demo-cluster
	@$(BIN)/python -m simulator.demo_cluster --host $(HOST) --port $(PORT) --simulator-port $(SIMULATOR_PORT)

run: .venv/run
	@HOST=$(HOST) PORT=$(PORT) $(BIN)/python main.py

test: .venv/dev .venv/compat/installed
	$(BIN)/python -m pytest $(PARALLEL)

units: .venv/dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not processes"

check: .venv/bench .venv/compat/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/python -m pytest $(PARALLEL)

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: .venv/dev
	$(BIN)/python -m tests.chaos

chaos-cluster: .venv/dev
	$(BIN)/python -m tests.chaos_cluster

attack: .venv/dev
	$(BIN)/python -m tests.attack

outage: .venv/dev
	$(BIN)/python -m tests.outage

fuzz: .venv/dev
	$(BIN)/python -m tests.fuzz

bench: .venv/bench
	$(BIN)/python -m bench

# The pinned versions for production, with the drivers of both databases.
lock: .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile requirements.txt requirements-postgres.txt --quiet --upgrade --generate-hashes \
	  --universal --python-version 3.11 --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' --output-file requirements.lock

client: .venv/run
	$(BIN)/python -c 'import json, main; print(json.dumps(main.app.openapi()))' > client/openapi.json
	cd client && npm ci --ignore-scripts && npm run generate && npm run build
	cp client/dist/gateway.js web/vendor/gateway.js

screenshots: .venv/dev
	$(BIN)/python docs/take_screenshots.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
