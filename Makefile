# `make run` and `make test` work from a fresh clone on Debian 12 with Python 3.11, pip, gcc and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# onnxruntime wheels from 1.29 on report home at import; the package sets this too.
export ORT_DISABLE_TELEMETRY := 1
# The rooms whose tests must reach every branch but one in ten.
COVERED := windows scoring models alerts analysis training

.PHONY: run install test lint format bench chaos soak test-packaging lock docs deb clean

run: $(VENV)/.run
	@mkdir -p var
	$(BIN)/netmote run --config config/netmote.yaml --state-dir var

install: $(VENV)/.dev

test: $(VENV)/.dev
	packaging/install-test-packages.sh
	$(BIN)/pytest --cov --cov-report=
	$(foreach room,$(COVERED),$(BIN)/coverage report --fail-under=90 --include='agent/netmote/$(room)/*' &&) true

lint: $(VENV)/.dev
	$(BIN)/ruff check agent tests packaging
	$(BIN)/ruff format --check agent tests packaging
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix agent tests packaging
	$(BIN)/ruff format agent tests packaging

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

# The whole run takes seven minutes and 500 kills; CHAOS_SECONDS=60 asks for less of both.
chaos: $(VENV)/.dev
	packaging/install-test-packages.sh
	$(BIN)/python tests/e2e/chaos.py $(if $(CHAOS_SECONDS),--seconds $(CHAOS_SECONDS))

# SOAK_SECONDS=180 is a short one, SOAK_PROFILE=small one for a box of one core and 1 GB. Needs root.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak

# The package in a booted Debian 13, which has Python 3.13: some interpreter of that version must be there to compile for it.
test-packaging: $(VENV)/.dev
	packaging/install-test-packages.sh
	NETMOTE_SUITE=$${NETMOTE_SUITE:-trixie} $(BIN)/pytest tests/packaging

lock: $(VENV)/.dev
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--strip-extras --no-header --output-file packaging/requirements.lock pyproject.toml

docs: $(VENV)/.dev
	$(BIN)/python packaging/generate_reference.py docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# ARCH=arm64 builds for the other machine; COMPRESSION=zstd is quick and large.
deb: $(VENV)/.dev
	packaging/build-deb.sh $(VENV) $(ARCH)

clean:
	rm -rf $(VENV) build dist site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.run: pyproject.toml
	packaging/make-venv.sh $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.dev: pyproject.toml
	packaging/make-venv.sh $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.run
