# make tour   the worked examples and the page they make, out/tour/index.html
# make test   every derivation verified: both backends, linter, doctests
# make bars   the claims over many seeds (minutes)
# make bench  speed, side by side
# make dist   an sdist and a wheel; make check-dist installs the sdist alone and computes with it
# make clean  remove what the others made

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
# The core is compiled again when one of these is newer than the last installation.
SOURCE := setup.py pyproject.toml $(wildcard csrc/*.[ch]) rlscratch/kernels/_compiled.pyx

.PHONY: tour test bars bench dist check-dist clean

tour: $(VENV)/installed
	$(RUN) -m rlscratch tour

test: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(RUN) -m pytest --doctest-modules rlscratch tests
	env -u RLSCRATCH_REQUIRE_C RLSCRATCH_PURE=1 $(RUN) -m pytest --doctest-modules rlscratch tests

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
	rm -rf $(VENV) build dist out *.egg-info rlscratch/kernels/*.so
