# Two commands do all the set-up on a fresh machine: `make quickstart` and `make test`.
# They need CPython 3.11 to 3.13 with venv, and a package index.

PYTHON := $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))) python3)
UV_VERSION := 0.13.8
UV := $(or $(shell command -v uv),.uv/bin/uv)
BIN := .venv/bin
READY := .venv/.ready
# Files in their order, so that the long lines do not come last.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder
# Without kept bytecode every process that imports TensorFlow compiles it again: twice the processor time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test test-all android-test arm-check check format env clean

quickstart: $(READY)  ## the whole line on generated lesions
	$(BIN)/edgekd run quickstart

test: $(READY)  ## what every change must pass
	$(BIN)/pytest $(WORKERS) -m "not slow" --durations=20

test-all: $(READY)  ## the slow tests too
	$(BIN)/pytest $(WORKERS)

android-test: $(READY)  ## the Android library, app and APK without a phone (Debian's JDK 17 and Android tools)
	android_demo/ci/run
	$(BIN)/python android_demo/ci/robolectric.py
	$(BIN)/python android_demo/ci/apk.py

arm-check: $(READY)  ## answers of an emulated ARM processor (Debian; 730 MB in the cache), never its speed
	$(BIN)/python -m edgekd_bench.arm64
	$(BIN)/pytest tests/contract/test_bench_arm64.py

check: $(READY)  ## style, types, import order, lock file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(UV) lock --check --python $(PYTHON)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

env: $(READY)

$(READY): pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --python $(PYTHON) --extra train --extra report --extra coreml --extra embed --extra serve --extra sign --extra search
	touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet uv==$(UV_VERSION)

clean:
	rm -rf .venv .uv runs .mypy_cache .pytest_cache .ruff_cache .hypothesis
