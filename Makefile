# `make train` and `make test` do everything on a fresh machine, the environment included.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/first

.PHONY: install install-all train test test-all lint types format check bench docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mgm needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

install-all: $(STAMP)  ## with every extra: export, web page, Ray, pre-trained encoders, documentation
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,all]'

# Threads that wait awake for longer take a quarter off a step on a quiet machine; beside other work they cost more than that,
# so it is not what `mgm` does by itself.
train: $(STAMP)  ## main job: MGM and its baseline on the embedded rooms, all three stages, table and pictures
	OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=10000 $(BIN)/mgm train mgm --preset quick --out $(OUT)

test: $(STAMP)  ## the fast tests
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile

test-all: $(STAMP)  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint types test

bench: $(STAMP)  ## what a training step costs here, beside the authors' order of passes (docs/speed.md)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/step.py

docs: $(STAMP)  ## the documentation site in site/, warnings as errors; needs `make install-all`
	$(BIN)/python docs/build.py

clean:
	rm -rf $(VENV) build dist site src/*.egg-info
