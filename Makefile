# Every check of this project is one target, and CI calls the same targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# pip's own resolver note about an upgrade is noise in a build log.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NATIVE := CMakeLists.txt $(shell find runtime/native -name '*.cpp' -o -name '*.h' -o -name '*.inl' -o -name CMakeLists.txt)
PACKAGES := $(shell find lerg_edge exporter runtime/lerg_runtime -name '*.py' -o -name '*.pyi' -o -name py.typed)
BUILD_REQUIREMENTS := 'scikit-build-core>=0.10' 'nanobind>=2.4' 'cmake>=3.28' ninja
# Tests keep to one thread each, so as many can run at a time as there are processors.
WORKERS ?= $(shell nproc)

.PHONY: .venv help demo test lint types bench wheel clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z.]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z.]+):.*## /\1\t/' | expand -t 10

.venv: $(VENV)/.native  ## set up the environment (the other targets do it themselves)

# The native module links executorch's SDK, so torch and executorch come first and the build is not isolated.
$(VENV)/.packages: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q torch==2.13.0 executorch==1.5.1 $(BUILD_REQUIREMENTS)
	touch $@

$(VENV)/.native: $(VENV)/.packages $(NATIVE)
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[export,dev]'
	touch $@

demo: $(VENV)/.native  ## generate interactions, export, recommend and fine-tune
	bash examples/demo.sh

test: $(VENV)/.native wheel  ## run every test that is neither slow nor in need of a device
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(VENV)/.native  ## ruff: style and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.native  ## mypy over the three packages
	$(BIN)/mypy

bench: $(VENV)/.native  ## time this project against its peers in one run
	$(BIN)/python -m benchmarks

wheel: dist/.built  ## build the wheel into dist/

dist/.built: $(VENV)/.packages $(NATIVE) $(PACKAGES) pyproject.toml README.md
	rm -rf dist
	$(BIN)/python -m pip wheel -q --no-build-isolation --no-deps -w dist .
	touch $@

clean:  ## remove what was built, and the environment
	rm -rf $(VENV) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
