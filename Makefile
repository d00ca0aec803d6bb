# make tour   the worked examples and the page they make, out/tour/index.html
# make test   every derivation verified: both backends, linter, types, doctests
# make test-peers   against torch, transformers, tiktoken and tokenizers, which it installs first (large)
# make docs   the API reference, from the docstrings: out/docs/index.html
# make bars   the claims over many seeds (minutes)
# make bench  speed, side by side (minutes)
# make dist   an sdist and a wheel; make check-dist installs the sdist alone and computes with it
# make clean  remove what the others made

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
# A process for each core, with one thread each, that takes over what others have left; tests about threads set theirs.
TESTS  := --numprocesses auto --dist worksteal --doctest-modules rlscratch tests
# The core is compiled again when one of these is newer than the last installation.
SOURCE := setup.py pyproject.toml $(wildcard csrc/*.[ch] rlscratch/kernels/*.p[yx][xi])

.PHONY: tour test test-peers docs bars bench dist check-dist clean

tour: $(VENV)/installed
	$(RUN) -m rlscratch tour

test: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 $(RUN) -m pytest $(TESTS)
	env -u RLSCRATCH_REQUIRE_C OMP_NUM_THREADS=1 RLSCRATCH_PURE=1 $(RUN) -m pytest $(TESTS)

test-peers: $(VENV)/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test,peers]'
	$(RUN) -m pytest -rs tests/peers

docs: $(VENV)/installed
	$(RUN) docs/reference/build.py out/docs

bars: $(VENV)/installed
	$(RUN) -m benchmarks.bars

bench: $(VENV)/installed
	$(RUN) -m benchmarks

dist: $(VENV)/installed
	$(RUN) -m build

check-dist: $(VENV)/installed
	bash tests/smoke.sh $(RUN)

$(VENV)/installed: $(SOURCE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "rlscratch needs Python 3.11 or later; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) .*_cache build dist out *.egg-info rlscratch/kernels/*.so
