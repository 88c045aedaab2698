# `make demo` and `make test` need Python 3.11 or later and make; the rest comes by itself.

PYTHON ?= python3
BIN := .venv/bin
TESTS ?= tests
DEMO ?=
export HOLDFAST_BENCH_PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/holdfast-bench-peers
# A third would save a minute of seven, and starve real servers of time on two cores.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

# Hundreds of tests start holdfast as a process: without this each would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

CHECKS := check-mypy check-tests check-ruff check-format check-imports

.PHONY: demo test test-slow bench bench-peers bench-matrix format docs picture check $(CHECKS) clean setup setup-test

demo: setup
	@$(BIN)/holdfast demo $(DEMO)

test: check
	@$(PYTEST) -m "not slow" $(TESTS)

# Where the fuzzer cannot be installed its test goes on without guidance, and says so.
test-slow: check
	-@$(BIN)/python -m pip install -q --no-deps --require-hashes -r constraints-fuzz.txt 2>/dev/null
	@$(PYTEST) -m slow --timeout 1800 $(TESTS)

# mypy takes one core, all others together less than another.
check: setup-test
	@$(MAKE) --no-print-directory -j 2 $(CHECKS)

check-mypy:
	@tools/step "mypy --strict" $(BIN)/mypy

# Reading the tests leaves them compiled, so that the workers need not do it, each for itself.
check-tests:
	@tools/step "reading tests" $(BIN)/python -m pytest -q --collect-only $(TESTS)

check-ruff:
	@tools/step "ruff check" $(BIN)/ruff check -q .

check-format:
	@tools/step "ruff format" $(BIN)/ruff format -q --check .

check-imports:
	@tools/step "import laws" $(BIN)/lint-imports

bench: setup-test
	@$(BIN)/python -m bench

# The tools that benchmarks compare with and the tests do not need.
bench-peers:
	@tools/bench-peers $(HOLDFAST_BENCH_PEERS)

# The page of odd staples from a run of the matrix, which takes the better part of an hour.
bench-matrix: setup-test bench-peers
	@$(BIN)/python -m bench.matrix --slow both --page docs/explanation/odd-staples.md

format: setup-test
	@$(BIN)/ruff check -q --fix .
	@$(BIN)/ruff format .

# The pages that are written from the sources and the tests.
docs: setup-test
	@$(BIN)/python tests/unit/test_behaviours.py
	@$(BIN)/python tools/findings_page.py
	@$(BIN)/python tools/commands_page.py
	@$(BIN)/python tools/settings_page.py

# docs/images/demo.svg from a run of the demo.
picture: setup-test
	@$(BIN)/python tools/demo_picture.py

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@$(PYTHON) tools/setup.py run

setup-test:
	@$(PYTHON) tools/setup.py test
	@tools/apt-packages
