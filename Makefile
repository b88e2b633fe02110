# Every check of this project is one target, and CI calls the same targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# pip's own resolver note about an upgrade is noise in a build log.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NATIVE := CMakeLists.txt $(shell find runtime/native -name '*.cpp' -o -name '*.h' -o -name '*.in' -o -name '*.cmake' -o -name CMakeLists.txt)
PACKAGES := $(shell find lerg_edge exporter runtime/lerg_runtime -name '*.py' -o -name '*.pyi' -o -name '*.txt' -o -name py.typed)
BUILD_REQUIREMENTS := 'scikit-build-core>=0.10' 'nanobind>=3.1' 'cmake>=3.28' ninja 'auditwheel>=6' 'wheel>=0.45'
# One wheel a machine, for every CPython from 3.11 on; the same sources give the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
MACHINE := $(shell uname -m)
PIP_WHEEL := $(BIN)/python -m pip wheel -q --no-build-isolation --no-deps
ARM64 := $(CURDIR)/build/arm64
# Tests keep to one thread each, so as many can run at a time as there are processors.
WORKERS ?= $(shell nproc)

.PHONY: .venv help demo test device-test replay sanitize tsan fuzz torture docs lint types bench wheel wheel-arm64 wheels clang clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z0-9.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9.-]+):.*## /\1\t/' | expand -t 14

.venv: $(VENV)/.native  ## set up the environment (the other targets do it themselves)

# Another index to take torch from, and nothing but torch: PyPI's build for x86-64 brings CUDA, which nothing here needs.
TORCH_INDEX_URL ?=

# The native module links executorch's SDK, so torch and executorch come first and the build is not isolated.
$(VENV)/.packages: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX_URL),$(BIN)/python -m pip install -q --no-deps --index-url $(TORCH_INDEX_URL) torch==2.13.0)
	$(BIN)/python -m pip install -q torch==2.13.0 executorch==1.5.1 $(BUILD_REQUIREMENTS)
	touch $@

$(VENV)/.native: $(VENV)/.packages $(NATIVE)
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[export,dev]'
	touch $@

demo: $(VENV)/.native  ## generate interactions, export, recommend and fine-tune
	bash examples/demo.sh

test: $(VENV)/.native wheel  ## run every test that is neither slow nor in need of a device
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

# The kernels' calls of tests/native, recorded here and made again on an emulated processor.
replay: $(VENV)/.native dist/.built-arm64  ## replay the native tests' kernel calls on arm64 (needs qemu-user-static)
	$(BIN)/python -m pytest -m 'slow or not slow' --device arm64 device_tests/test_replay.py

# Bundles are exported once, by whoever needs one first, and serve every device.
CONTRACT := device_tests/test_contract.py device_tests/test_personal_contract.py
KEPT := build/contract

device-test: $(VENV)/.native dist/.built-arm64 replay  ## the device contract here, on emulated arm64, and over ssh
	rm -rf $(KEPT)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --kept $(KEPT) $(CONTRACT)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --kept $(KEPT) --device arm64 $(CONTRACT)
	$(BIN)/python -m pytest -m 'slow or not slow' --kept $(KEPT) device_tests/test_transports.py

# A second build of the wheel, in an environment of its own that sees the packages of the first. The wrapper loads the
# sanitizers' libraries before Python. Leaks are not looked for: an interpreter that ends leaves most of its memory. A
# request that is too large gives a null pointer, as without a sanitizer.
SANITIZE := build/sanitize
SANITIZE_ENV := $(CURDIR)/$(SANITIZE)/env

$(SANITIZE)/.built: $(VENV)/.packages $(NATIVE) $(PACKAGES)
	$(BIN)/python -m venv --without-pip $(SANITIZE_ENV)
	$(BIN)/python -c 'import sys; print(*(p for p in sys.path if p.endswith("site-packages")), sep="\n")' \
	  > "$$(echo $(SANITIZE_ENV)/lib/python3.*/site-packages)/packages.pth"
	$(BIN)/python -m pip --python $(SANITIZE_ENV)/bin/python install -q --no-build-isolation --no-deps --force-reinstall \
	  -C build-dir=$(SANITIZE)/cmake -C cmake.define.LERG_SANITIZE=address -C install.strip=false .
	printf '%s\n' '#!/bin/sh' \
	  "export LD_PRELOAD='$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so.6)'" \
	  'export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1' \
	  'exec "$(SANITIZE_ENV)/bin/python" "$$@"' > $(SANITIZE)/python
	chmod +x $(SANITIZE)/python
	touch $@

SANITIZED_TESTS := tests/native/test_session.py tests/native/test_damaged_programs.py tests/native/test_kernels.py \
  tests/native/test_folded_kernels.py tests/native/test_retrieval.py tests/native/test_budget.py tests/native/test_numeric.py

sanitize: $(VENV)/.native $(SANITIZE)/.built  ## native tests and mutants under the address and undefined behaviour sanitizers
	$(SANITIZE)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(SANITIZED_TESTS)
	PYTHONPATH=tests $(BIN)/python -m fuzzing --corpus --count 25 --sanitized $(SANITIZE)/python

# The same for the thread sanitizer. It wants addresses where it expects them (setarch), and the pool of one thread: that
# of the SDK is not built with it, so what it orders is not seen. Any report fails.
TSAN := build/tsan
TSAN_ENV := $(CURDIR)/$(TSAN)/env

$(TSAN)/.built: $(VENV)/.packages $(NATIVE) $(PACKAGES) tests/racing/tsan.supp
	$(BIN)/python -m venv --without-pip $(TSAN_ENV)
	$(BIN)/python -c 'import sys; print(*(p for p in sys.path if p.endswith("site-packages")), sep="\n")' \
	  > "$$(echo $(TSAN_ENV)/lib/python3.*/site-packages)/packages.pth"
	$(BIN)/python -m pip --python $(TSAN_ENV)/bin/python install -q --no-build-isolation --no-deps --force-reinstall \
	  -C build-dir=$(TSAN)/cmake -C cmake.define.LERG_SANITIZE=thread -C install.strip=false .
	printf '%s\n' '#!/bin/sh' \
	  "export LD_PRELOAD='$$(g++ -print-file-name=libtsan.so) $$(g++ -print-file-name=libstdc++.so.6)'" \
	  'export TSAN_OPTIONS="suppressions=$(CURDIR)/tests/racing/tsan.supp exitcode=66 $$TSAN_OPTIONS"' \
	  'exec setarch -R "$(TSAN_ENV)/bin/python" "$$@"' > $(TSAN)/python
	chmod +x $(TSAN)/python
	touch $@

tsan: export PYTHONPATH := tests
tsan: $(VENV)/.native $(TSAN)/.built  ## threads that ask beside one that learns, under the thread sanitizer
	$(BIN)/python -m racing.bundles $(TSAN)/bundles
	$(TSAN)/python -m racing --folders $(TSAN)/bundles/* --threads 4 8

# The coverage-guided fuzzer is libFuzzer, which comes with clang (Debian: apt-get install clang).
FUZZ_SECONDS ?= 60
FUZZ_SHARE = $(shell echo $$(($(FUZZ_SECONDS) / 3)))
FUZZ_CXX ?= clang++
FUZZ_BUILD := build/fuzz-native

$(FUZZ_BUILD)/.built: $(VENV)/.packages $(NATIVE) $(wildcard tests/fuzzing/native/*)
	@command -v $(FUZZ_CXX) >/dev/null || { echo "make fuzz needs clang: apt-get install clang, or FUZZ_CXX=…"; exit 1; }
	$(BIN)/cmake -S . -B $(FUZZ_BUILD) -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=$(FUZZ_CXX) \
	  -DLERG_FUZZ=ON -DPython_EXECUTABLE=$(BIN)/python >/dev/null
	$(BIN)/cmake --build $(FUZZ_BUILD)
	touch $@

fuzz: export PYTHONPATH := tests
fuzz: $(VENV)/.native $(SANITIZE)/.built $(FUZZ_BUILD)/.built  ## mutants and a coverage-guided fuzzer for FUZZ_SECONDS
	$(BIN)/python -m fuzzing --new --seconds $(FUZZ_SHARE)
	$(BIN)/python -m fuzzing --new --seconds $(FUZZ_SHARE) --sanitized $(SANITIZE)/python
	$(BIN)/python -m fuzzing.coverage_guided $(FUZZ_BUILD)/fuzz_program --seconds $(FUZZ_SHARE)

$(VENV)/.docs: $(VENV)/.native
	$(BIN)/python -m pip install -q $$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	touch $@

docs: $(VENV)/.docs  ## all pages and an API reference as HTML into build/docs; warnings are errors
	$(BIN)/python tools/draw_architecture.py
	$(BIN)/python -m sphinx -q -W --keep-going -E -d build/docs-cache docs build/docs

lint: $(VENV)/.native  ## ruff: style and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

torture: $(VENV)/.native  ## kill 1,000 saves, let 48 disks fail, flip 10,000 bits and cut 1,000 files
	folder=$$(mktemp -d) && $(BIN)/python tests/runtime/torture.py $$folder --kills 1000 --faults 48 --flips 10000 \
		--truncations 1000; status=$$?; rm -rf $$folder; exit $$status

types: $(VENV)/.native  ## mypy over the three packages
	$(BIN)/mypy

bench: $(VENV)/.native  ## time this project against its peers in one run
	$(BIN)/python -m benchmarks

wheel: dist/.built  ## build the wheel into dist/, and what a device installs of it into dist/device/

dist/.built: $(VENV)/.packages $(NATIVE) $(PACKAGES) tools/device_wheel.py pyproject.toml README.md
	rm -rf build/dist dist/*_$(MACHINE).whl
	$(PIP_WHEEL) -w build/dist .
	$(BIN)/python tools/tag_wheel.py build/dist dist
	$(BIN)/python tools/device_wheel.py dist/*_$(MACHINE).whl dist/device
	touch $@

wheel-arm64: dist/.built-arm64  ## cross-build the wheel for Linux on arm64 into dist/ (needs g++-aarch64-linux-gnu)

wheels: wheel wheel-arm64  ## both wheels

clang: $(ARM64)/.executorch  ## compile all native code for arm64 with clang and libc++ (needs clang, lld, libc++-dev)
	$(BIN)/cmake -G Ninja -S . -B build/clang -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/cmake/clang-arm64.cmake \
	  -DLERG_CHECK_ONLY=ON -Dexecutorch_DIR=$(ARM64)/executorch/share/cmake -DPython_EXECUTABLE=$(BIN)/python >/dev/null
	$(BIN)/cmake --build build/clang

# The SDK of the target comes from executorch's own arm64 wheel, whose hash pip checks.
$(ARM64)/.executorch: $(VENV)/.packages cmake/executorch-arm64.txt
	rm -rf $(ARM64)/executorch $(ARM64)/executorch-*
	$(BIN)/python -m pip download -q --no-deps --require-hashes --only-binary=:all: --python-version 3.11 \
	  --platform manylinux_2_28_aarch64 -d $(ARM64) -r cmake/executorch-arm64.txt
	cd $(ARM64) && $(BIN)/python -m zipfile -e executorch-*.whl . && rm executorch-*.whl
	touch $@

dist/.built-arm64: $(ARM64)/.executorch cmake/linux-arm64.cmake $(NATIVE) $(PACKAGES) tools/device_wheel.py pyproject.toml README.md
	rm -rf build/dist-arm64 dist/*_aarch64.whl
	_PYTHON_HOST_PLATFORM=linux-aarch64 CMAKE_ARGS="-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/cmake/linux-arm64.cmake \
	  -Dexecutorch_DIR=$(ARM64)/executorch/share/cmake" $(PIP_WHEEL) -w build/dist-arm64 .
	$(BIN)/python tools/tag_wheel.py build/dist-arm64 dist
	$(BIN)/python tools/device_wheel.py dist/*_aarch64.whl dist/device
	touch $@

clean:  ## remove what was built, and the environment
	rm -rf $(VENV) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
