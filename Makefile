# Daily commands. Each brings what it needs: only Python 3.11 to 3.13, git and make are expected.
PYTHON ?= python3
PEERS_PYTHON ?= python3.13
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= demo

.PHONY: help demo test check kernels cover long lowest bench bench-dispatch bench-feeds bench-journeys bench-plans bench-plans-peers bench-roads bench-service bench-exchange lock clean

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.base  ## a day of shared rides in Coquimbo; ends by naming the report's path
	$(BIN)/noriai demo -o $(DEMO)

# Tests start many processes. Where bytecode is not written, as in many containers, each would parse 3,000 modules: 4 s.
test long cover lowest: export PYTHONDONTWRITEBYTECODE =
test long cover lowest: export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/bytecode

test: $(VENV)/.dev  ## the tests
	$(BIN)/python -m pytest -m "not long"

check: $(VENV)/.dev  ## style, types, import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

kernels: $(VENV)/.dev  ## kernel tests as plain Python with coverage, then compiled with bounds checks
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "not long" tests/engine --cov --cov-report=term
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -m "not long" tests/engine

cover: $(VENV)/.dev  ## share of lines and branches the tests reach, kernels as plain Python included
	rm -f .coverage .coverage.*
	COVERAGE_FILE=.coverage.compiled $(BIN)/python -m pytest -m "not long" --cov --cov-report=
	COVERAGE_FILE=.coverage.plain NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "not long" tests/engine --cov --cov-report=
	$(BIN)/coverage combine
	$(BIN)/coverage report

long: $(VENV)/.dev  ## every test, the long ones too
	$(BIN)/python -m pytest

lowest: $(VENV)/.dev  ## the tests with the lowest allowed versions of every dependency
	rm -rf .venv-lowest && $(PYTHON) -m venv .venv-lowest
	$(BIN)/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct --group dev -e .
	.venv-lowest/bin/python -m pytest -m "not long"

bench: $(VENV)/.dev  ## benchmarks: CPU seconds and ratios, with their instance
	$(BIN)/python benchmarks/suites/days.py

bench-dispatch: $(VENV)/.dev  ## the dispatch core on the Malta workload: latency, whole days, live traffic, checked
	$(BIN)/python benchmarks/suites/dispatch.py

bench-plans: $(VENV)/.dev  ## day plans on published instances: gaps to the best known, resumable (benchmarks/results)
	$(BIN)/python benchmarks/suites/day_plans.py --sets cordeau_ropke_ab --seconds 5
	$(BIN)/python benchmarks/suites/day_plans.py --sets cordeau_laporte_2003 --seconds 60

bench-plans-peers:  ## the same beside OR-Tools, PyVRP and VROOM, in an environment of its own (Python 3.12 or 3.13)
	$(PEERS_PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	.venv-peers/bin/uv pip install -q --python .venv-peers/bin/python --require-hashes -r requirements/base.lock -r requirements/peers.lock
	.venv-peers/bin/uv pip install -q --python .venv-peers/bin/python --no-build-isolation --no-deps -e .
	.venv-peers/bin/python benchmarks/suites/day_plans.py --sets cordeau_ropke_ab cordeau_laporte_2003 --seconds 1
	.venv-peers/bin/python benchmarks/suites/day_plans.py --sets cordeau_ropke_ab cordeau_laporte_2003 --seconds 60 --solvers or-tools
	.venv-peers/bin/python benchmarks/suites/day_plans.py --sets li_lim_100 sartori_buriol_n100 --seconds 10 --solvers noriai pyvrp vroom

bench-feeds: $(VENV)/.dev  ## feeds from zip to arrays beside polars, realtime
	$(BIN)/python benchmarks/suites/feeds.py

bench-journeys:  ## journeys by line beside nigiri and cafein, in an environment of its own (Python 3.12 or 3.13)
	$(PEERS_PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	.venv-peers/bin/uv pip install -q --python .venv-peers/bin/python --require-hashes -r requirements/base.lock -r requirements/peers.lock
	.venv-peers/bin/uv pip install -q --python .venv-peers/bin/python --no-build-isolation --no-deps -e .
	.venv-peers/bin/python benchmarks/suites/journeys.py

bench-service: $(VENV)/.dev  ## the service under load: bookings a second beside an empty FastAPI POST
	$(BIN)/python benchmarks/suites/service.py --vehicles 1000

bench-exchange: $(VENV)/.dev  ## between nodes: revocation, cost of checks; statistics beside fixed grids; four towns over seeds
	$(BIN)/python benchmarks/suites/exchange.py --days 3
	$(BIN)/python benchmarks/suites/privacy.py

bench-roads:  ## the travel-time oracle beside OSRM and RoutingKit, in an environment of its own (Python 3.12 or 3.13)
	$(PEERS_PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	.venv-peers/bin/uv pip install -q --python .venv-peers/bin/python --require-hashes -r requirements/base.lock -r requirements/peers.lock
	.venv-peers/bin/uv pip install -q --python .venv-peers/bin/python --no-build-isolation --no-deps -e .
	.venv-peers/bin/python benchmarks/suites/roads.py

lock: $(VENV)/.dev  ## renew the hashed locks after a change of dependencies
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml requirements/build.in -o requirements/base.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --group dev pyproject.toml requirements/build.in -c requirements/base.lock -o requirements/dev.lock
	$(BIN)/uv pip compile -q --python-version 3.12 --universal --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" benchmarks/peers/requirements.in -c requirements/base.lock -o requirements/peers.lock

clean:  ## remove what the commands made
	rm -rf $(VENV) .venv-lowest .venv-peers $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "noriai needs Python 3.11 to 3.13, this is %d.%d: name another with make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.base: requirements/base.lock pyproject.toml | $(VENV)/.python
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/base.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.base
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@touch $@
