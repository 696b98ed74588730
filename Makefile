# hearth. `make` lists what there is; ARGS passes words on to the program that a target runs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

NATIVE := $(CURDIR)/.native/lib
VENV := $(CURDIR)/.native/venv
# KServe's, MLServer's and Feast's clients, whose needs clash with the others'.
CLIENTS := $(CURDIR)/.native/venv-clients
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
# The one place that says where the program is.
HEARTH := $(abspath $(TARGET))/debug/hearth
HEARTH_RELEASE := $(abspath $(TARGET))/release/hearth
FIGURES := $(abspath $(TARGET))/criterion
CARGO := cargo
PYTHON := python3
ARGS ?=
SEED ?=

# The path in the program is relative to the default target directory; this serves any other.
export LD_LIBRARY_PATH := $(if $(DUCKDB_LIB_DIR),$(DUCKDB_LIB_DIR):)$(NATIVE)$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
ifeq ($(shell uname -s),Linux)
export ORT_DYLIB_PATH ?= $(NATIVE)/libonnxruntime.so.1.31.1
else
export ORT_DYLIB_PATH ?= $(NATIVE)/libonnxruntime.1.31.1.dylib
export DYLD_FALLBACK_LIBRARY_PATH := $(LD_LIBRARY_PATH)
endif
step = @printf '\n== %s\n' "$(1)"

.NOTPARALLEL:
.PHONY: help native venv build demo test test-rust faults faults-long test-python sim sim-long lint fmt bench bench-peers bench-serving soak clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

native: ## Fetch DuckDB and ONNX Runtime, ready-made and checked
	@$(PYTHON) deploy/native/fetch

venv: $(VENV)/.ready $(CLIENTS)/.ready ## The Python clients that the tests use
	@deploy/python/perf_analyzer

$(VENV)/.ready: deploy/python/requirements.txt
	$(call step,Python clients into .native/venv (a minute the first time))
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(CLIENTS)/.ready: deploy/python/requirements-clients.txt
	$(call step,KServe's, MLServer's and Feast's clients into .native/venv-clients (a minute the first time))
	@$(PYTHON) -m venv --clear $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

build: native ## Compile everything (a quarter of an hour the first time on two cores)
	$(call step,cargo build --workspace)
	@$(CARGO) build --workspace

demo: native ## A three-node cluster with a living district; ARGS=--once ends after the tour
	$(call step,cargo build (a quarter of an hour the first time on two cores))
	@$(CARGO) build --package nodes
	$(call step,hearth demo $(ARGS))
	@$(HEARTH) demo $(ARGS)

test: native venv lint test-rust sim faults test-python ## Everything that CI runs
	$(call step,all tests passed)

test-rust: native ## The Rust tests; ARGS names some of them
	$(call step,cargo test --workspace)
	@$(CARGO) test --workspace --no-fail-fast $(ARGS)

faults: native ## Kills, cuts, slow disks and wrong clocks for three minutes; SEED=n repeats an order
	$(call step,fault suite of 180 s)
	@HEARTH_FAULTS_S=180 SEED=$(SEED) $(CARGO) test --package nodes --test faults -- --ignored --nocapture fault_after_fault

faults-long: native ## The same for half an hour, and then the leader is killed 200 times
	$(call step,fault suite of 1800 s and 200 kills)
	@HEARTH_FAULTS_S=1800 SEED=$(SEED) $(CARGO) test --package nodes --test faults -- --ignored --nocapture --test-threads 1

test-python: build venv ## The Python clients against a cluster of the built program
	$(call step,pytest nodes/tests/python)
	@HEARTH_BIN=$(HEARTH) $(VENV)/bin/python -m pytest -q --timeout 300 -p no:cacheprovider nodes/tests/python

# With this, tokio draws its own choices from a seed as well; for the simulation only, which is built
# by a profile of its own, beside everything else.
SIMULATE := RUSTFLAGS="--cfg tokio_unstable" RUST_BACKTRACE=0 $(CARGO) test \
	--package nodes --features sim --test sim --profile sim

sim: native ## Clusters on simulated network, disk and clock; HEARTH_SEED=7 replays one seed
	$(call step,$(or $(HEARTH_SIM_SEEDS),24) simulated clusters)
	@$(SIMULATE) -- --nocapture $(ARGS)

sim-long: native ## The same with 2000 seeds, from HEARTH_SIM_FROM or today's number on
	$(call step,2000 simulated clusters)
	@HEARTH_SIM_SEEDS=2000 HEARTH_SIM_FROM=$${HEARTH_SIM_FROM:-$$(date +%Y%m%d000)} \
		$(SIMULATE) -- --nocapture every_seed

lint: native ## Format and clippy, warnings refused
	$(call step,cargo fmt --check)
	@$(CARGO) fmt --all --check
	$(call step,cargo clippy)
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --package nodes --features sim --test sim -- -D warnings

fmt: ## Format the code
	@$(CARGO) fmt --all

# The program and its benches in one selection, so that nothing is compiled twice.
BENCHES := --package nodes --package benches --bench '*'
ONE_BENCH := --package nodes --package benches --bench

# What is on the PATH wins over what was fetched; Debian puts servers where only root's PATH looks.
PEERS := $(CURDIR)/.native/peers
# With huge pages, as deploy/ starts it.
MEASURE := _RJEM_MALLOC_CONF=thp:always,metadata_thp:auto HEARTH_BIN=$(HEARTH_RELEASE) CRITERION_HOME=$(FIGURES) \
	HEARTH_RIVALS=$(CURDIR)/.native/rivals \
	PATH="$$PATH:/usr/sbin:$(PEERS)/usr/bin:$(PEERS)/usr/sbin" $(CARGO) bench

# `make bench serving` is `make bench-serving`.
ifneq ($(filter serving,$(MAKECMDGOALS)),)
.PHONY: serving
bench: bench-serving
serving: ; @:
else
bench: native ## Performance tables, each figure beside its peer and its floor
	@deploy/peers/fetch
	@deploy/peers/fetch-serving
	$(call step,cargo build --release (a quarter of an hour the first time on two cores))
	@$(CARGO) build --release $(BENCHES) --bin hearth --bin summary
	$(call step,cargo bench (half an hour))
	@rm -rf $(FIGURES)
	@$(MEASURE) $(BENCHES) $(ARGS)
	$(call step,figures of this run)
	@$(abspath $(TARGET))/release/summary $(FIGURES)
	@for table in peers serving; do if [ -f $(FIGURES)/$$table.md ]; then cat $(FIGURES)/$$table.md; fi; done
endif

bench-peers: native ## Only durable events on three nodes, beside etcd and NATS JetStream
	@deploy/peers/fetch
	$(call step,cargo build --release (a quarter of an hour the first time on two cores))
	@$(CARGO) build --release $(BENCHES) --bin hearth
	$(call step,hearth beside its peers (three minutes))
	@$(MEASURE) $(ONE_BENCH) peers

bench-serving: native ## Only scores by entity, beside MLServer, Feast with Redis, and a service made by hand
	@deploy/peers/fetch-serving
	$(call step,cargo build --release (a quarter of an hour the first time on two cores))
	@$(CARGO) build --release $(BENCHES) --bin hearth
	$(call step,hearth beside its rivals in serving (six minutes); ARGS=--quick for a short look)
	@$(MEASURE) $(ONE_BENCH) serving -- $(ARGS)

soak: native ## A quarter of an hour of a whole district's events with kills: latency, cases, memory
	$(call step,cargo build --release (a quarter of an hour the first time on two cores))
	@$(CARGO) build --release $(ONE_BENCH) soak --bin hearth
	$(call step,soak of $(or $(HEARTH_MINUTES),15) minutes)
	@HEARTH_MINUTES=$(or $(HEARTH_MINUTES),15) $(MEASURE) $(ONE_BENCH) soak

clean: ## Remove what was built; the libraries and clients in .native stay
	@$(CARGO) clean
