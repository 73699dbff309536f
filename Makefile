# All that a fresh machine needs: Python >= 3.11, Go >= 1.26 and make. `make` alone lists the targets.
SHELL := /bin/bash

UV_VERSION := 0.13.8
UV := .cache/uv-$(UV_VERSION)/bin/uv
PYTHON := .venv/bin/python
CHART := charts/modelwright

# How many tests run at a time, each with a cluster of its own: tests wait a lot, and three keep two cores busy. 0: one
# after the other.
WORKERS ?= 3
PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 30 --durations-min 15

# onnxruntime reports to its makers unless it is told not to before it is imported.
export ORT_DISABLE_TELEMETRY := 1
# uv takes the Python that is here and never fetches another.
export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@python3 -m venv $(dir $(UV))..
	@$(dir $(UV))pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# When the environment was last made; out of date as soon as the lock or the project changes.
.venv/synced: pyproject.toml uv.lock | $(UV)
	@test -x $(PYTHON) || python3 -m venv .venv
	@$(UV) sync --frozen --all-extras --quiet
	@touch $@

.PHONY: setup
setup: .venv/synced ## Make or update .venv with everything pinned in uv.lock

.PHONY: feast-lock
feast-lock: setup ## Lock what the image of feature stores carries, anew from its .in file (ARGS: more for uv)
	@cd operator && ../$(UV) pip compile feast.requirements.in --output-file feast.requirements.txt \
	    --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet $(ARGS)

.PHONY: crds
crds: setup ## Generate the CRDs, and the chart's copy of them, from operator/modelwright_operator/api
	@$(PYTHON) -m modelwright_operator.api.crd crds
	@$(PYTHON) -m modelwright_operator.api.crd $(CHART)/files/crds

.PHONY: proto
proto: setup ## Generate the module of the gRPC messages from their .proto file
	@$(PYTHON) -m grpc_tools.protoc -I model_server --python_out=model_server --pyi_out=model_server \
	    model_server/modelwright_server/grpc/open_inference.proto

.PHONY: format
format: setup ## Format, and mend what can be mended
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

.PHONY: lint
lint: setup ## Check format and style
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/ruff check --quiet

.PHONY: types
types: setup ## Check types with mypy and pyright
	@.venv/bin/mypy operator model_server tests
	@.venv/bin/pyright

.PHONY: arch
arch: setup ## Check that imports go the way the architecture says
	@.venv/bin/lint-imports

.PHONY: test-fast
test-fast: setup ## Run the tests that need no cluster
	@$(PYTHON) -m tests.support.object_store
	@$(PYTHON) -m tests.support.feast_library
	@$(PYTHON) -m tests.support.flux health
	@$(PYTHON) -m tests.support.browser
	@$(PYTEST) -m 'not cluster' $(PYTEST_ARGS)

.PHONY: test-cluster
test-cluster: setup ## Run the tests on the real Kubernetes (KEEP=1 leaves it running)
	@$(on_clusters) $(PYTEST) -m cluster $(PYTEST_ARGS)

.PHONY: test
test: lint types arch ## Run every check and every test (KEEP=1 leaves the cluster running)
	@$(on_clusters) $(PYTEST) $(PYTEST_ARGS)

# What takes minutes the first time is done here, in sight and outside any test's time limit. Clusters that were not
# running before go when the recipe ends, however it ends, and say so only if that fails: the last line is pytest's.
define on_clusters
set -e; \
made=$$([[ -n "$${KEEP:-}" ]] || $(PYTHON) -m tests.support.workers missing $(WORKERS)); \
down() { said=$$($(PYTHON) -m tests.support.workers down $$made 2>&1) || echo "$$said" >&2; }; \
trap down EXIT; \
$(PYTHON) -m tests.images build; \
$(PYTHON) -m tests.support.object_store; \
$(PYTHON) -m tests.support.metrics_server; \
$(PYTHON) -m tests.support.flux; \
$(PYTHON) -m tests.support.feast_library; \
$(PYTHON) -m tests.support.browser; \
$(PYTHON) -m tests.cluster up;
endef

.PHONY: images
images: setup ## Build the container images; print their full names
	@$(PYTHON) -m tests.images build

.PHONY: cluster-up
cluster-up: setup ## Bring up a real single-node Kubernetes
	@$(PYTHON) -m tests.cluster up

.PHONY: cluster-down
cluster-down: setup ## Remove it
	@$(PYTHON) -m tests.cluster down

.PHONY: gateway
gateway: setup ## Build Traefik, some ten minutes the first time: with it the tests try a real gateway, too
	@$(PYTHON) -m tests.support.gateway

.PHONY: mlflow
mlflow: setup ## Install the real MLflow beside (400 MB): with it the tests load what `export mlflow` writes
	@$(PYTHON) -m tests.support.mlflow_library

.PHONY: demo
demo: setup ## From nothing to a prediction, on a real cluster (KEEP=1 leaves it running)
	@$(PYTHON) -m tests.demo

bench-%: setup ## Measure % (serving, peers, soak, …), print tables, write build/bench/%.json; BENCH_ARGS: more
	@$(PYTHON) -m tests.benchmarks $* $(BENCH_ARGS)

.PHONY: calibrate
calibrate: bench-calibration ## How often drift is found where there is none, and where there is: the whole grid, some half an hour

.PHONY: checklist
checklist: setup ## Go through the forty conventions of docs/checklist.md on a real cluster: some half an hour
	@$(PYTHON) -m tests.checklist $(ARGS)

.PHONY: soak-monitoring
soak-monitoring: bench-stationary ## 200 windows of traffic that never changes, on the real cluster: some seven minutes

.PHONY: clean
clean: ## Remove what was made in this folder; the cache of programs and images stays
	@rm -rf .cache .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
