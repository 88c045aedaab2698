# `make demo` and `make test` need Python 3.11 or later and make; the rest comes by itself.

PYTHON ?= python3
BIN := .venv/bin
TESTS ?= tests
DEMO ?=

.PHONY: demo test test-slow bench format docs picture check clean setup setup-test

demo: setup
	@$(BIN)/holdfast demo $(DEMO)

test: check
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" $(TESTS)

# Where the fuzzer cannot be installed its test goes on without guidance, and says so.
test-slow: check
	-@$(BIN)/python -m pip install -q --no-deps --require-hashes -r constraints-fuzz.txt 2>/dev/null
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow --timeout 1800 $(TESTS)

check: setup-test
	@tools/step "ruff check" $(BIN)/ruff check -q .
	@tools/step "ruff format" $(BIN)/ruff format -q --check .
	@tools/step "mypy --strict" $(BIN)/mypy
	@tools/step "import laws" $(BIN)/lint-imports

bench: setup-test
	@$(BIN)/python -m bench

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
