# Thin wrappers around plain pip and python commands; the README shows those too, for machines without make.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin

.PHONY: demo test browser web docs lint bench pictures gallery claims mutations dist clean

demo: $(VENV)/.demo
	$(BIN)/python -m demos.gradient_flow $(ARGS)

# One process a core; each of them then does its own matrix products alone.
test: $(VENV)/.test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --ignore tests/browser $(ARGS)

# The explorer's page in a real browser: needs chromium, and Node.js for axe-core.
browser: $(VENV)/.test $(VENV)/.browser viz/web/node_modules
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto tests/browser $(ARGS)

# The explorer's script from its sources. The bundle is kept in the repository, so only those who change it need Node.js.
web: viz/web/node_modules
	npm --prefix viz/web run --silent types
	npm --prefix viz/web run --silent bundle

viz/web/node_modules: viz/web/package-lock.json
	npm --prefix viz/web ci --no-audit --no-fund
	@touch $@

# The documentation site, out/docs/html/index.html, which needs no server; and do all of its links lead somewhere?
docs: $(VENV)/.docs
	rm -rf out/docs/html
	$(BIN)/python -m sphinx -b html -W --keep-going -q -d out/docs/doctrees docs out/docs/html
	$(BIN)/python docs/builder/check.py out/docs/html

lint: $(VENV)/.dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

# The pictures that README shows; and those of docs/folding.md and docs/lstm.md, which their own examples save.
pictures: demo $(VENV)/.bench
	mkdir -p docs/img
	cd out && $(abspath $(BIN))/python ../demos/first.py
	cp out/gates_against_tanh.svg out/side_by_side.svg out/first.svg docs/img/
	cd docs/img && $(abspath $(BIN))/python -m doctest ../folding.md ../lstm.md

# Every kind of picture there is, and docs/gallery.md.
gallery: $(VENV)/.demo $(VENV)/.bench
	$(BIN)/python -m demos.gallery $(ARGS)

# docs/claims.md, from the ledger and the names of the tests.
claims: $(VENV)/.test
	$(BIN)/python -m tests.claims

# Mistakes planted in a copy of the source, one at a time: the tests of the row must notice.
mutations: $(VENV)/.bench $(VENV)/.test
	$(BIN)/python -m tests.claims.mutations $(ARGS)

# Source distribution and wheel, each installed and tried in a clean environment outside this folder.
dist: $(VENV)/.dist
	$(BIN)/python .ci/dist.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp an extra: installed once, and again when setup.cfg changes.
$(VENV)/.%: setup.cfg $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) out build dist *.egg-info
