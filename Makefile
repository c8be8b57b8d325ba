# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Kernels are cached beside the sources; without .pyc files each start would also compile every module again.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# setuptools warns of folders that stand at the top on purpose.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test setup setup-dev lint types tests clean

demo: setup
	@$(BIN)/python sample_corpora/build.py > /dev/null
	@$(BIN)/corpusmill urls build sample_corpora/lists/blocked/*.txt --out sample_corpora/built/blocked.urls > /dev/null
	@$(BIN)/corpusmill run sample_corpora/recipe.yaml
	@$(BIN)/corpusmill sweep run sample_corpora/recipe.yaml

test: setup-dev lint types tests

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing corpusmill into $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the development requirements"
	@$(PIP) --editable '.[dev]'
	@touch $@

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types:
	$(BIN)/mypy

tests:
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf $(VENV) runs sample_corpora/built
	find . -name __pycache__ -prune -exec rm -rf {} +
