# make install      Make .venv, and install rlscratch and all that it needs there.  The others do this first.
# make tour         Run the worked examples.  Write the course that explains them: out/tour/index.html
# make verify F=ppo Run the proofs of one module of formulas.  Print each claim as a sentence.
# make figures E=11 Run one example.  Keep its figures for slides: out/figures/*.svg and *.png.  All, and the chapters', without E.
# make test         Run the linter and the type checker, then all tests on the compiled core, then on NumPy.
# make test-peers   Compare with torch, transformers, tiktoken, TRL and others.  They are installed first, and are large.
# make test-sanitize Build the core with gcc's sanitizers for addresses and undefined behaviour.  Test and fuzz it.
# make docs         Write the API reference from the docstrings: out/docs/index.html
# make bars         Train with several seeds.  Print the figures of the README's claims.  This takes minutes.
# make bench        Measure the speed, beside other libraries where they are installed.  This takes minutes.
# make dist         Build a source distribution and a wheel.
# make check-dist   Build them, install the source distribution alone, and compute with it.
# make clean        Remove what the others made.

PYTHON ?= python3
# What is installed besides; test,distributed to run the tests of many processes, too.
EXTRAS ?= test
VENV   := .venv
RUN    := $(VENV)/bin/python
# A process for each core, with one thread each, that takes over what others have left; tests about threads set theirs.
# What Python compiles is kept: each of the hundreds of processes that tests start would compile it again.
TESTS  := --numprocesses auto --dist worksteal --doctest-modules rlscratch tests
# The core is compiled again when one of these is newer than the last installation.
SOURCE := setup.py pyproject.toml $(wildcard csrc/*.[ch] rlscratch/kernels/*.p[yx][xi])

.PHONY: install tour verify figures test test-peers test-sanitize docs bars bench dist check-dist clean

install: $(VENV)/installed

tour: $(VENV)/installed
	$(RUN) -m rlscratch tour

# A module of rlscratch/formulas; without one, make verify lists them.
F ?=
verify: $(VENV)/installed
	@OMP_NUM_THREADS=1 $(RUN) -m rlscratch verify $(F)

# The number of an example, or how it begins; without one come the pictures that the chapters have of their own, too.
E ?=
figures: export RLSCRATCH_OUT := out/figures
figures: export RLSCRATCH_PNG := 200
figures: $(VENV)/installed
	$(if $(wildcard examples/$(E)*.py),,$(error E=$(E): no file in examples begins so))
	set -e; for example in $(sort $(wildcard examples/$(E)*.py)); do $(RUN) $$example > /dev/null; done
	$(if $(E),,$(RUN) -m rlscratch.report.tour.slides)

test: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(RUN) -m pytest $(TESTS)
	env -u PYTHONDONTWRITEBYTECODE -u RLSCRATCH_REQUIRE_C OMP_NUM_THREADS=1 RLSCRATCH_PURE=1 $(RUN) -m pytest $(TESTS) --once

test-peers: $(VENV)/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test,peers]'
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps verl openrlhf liger-kernel google-tunix   # for a file or two
	$(RUN) -m pytest -rs tests/peers

# A build of its own, in build/sanitize; CALLS random calls behind the tests of the kernels.
CALLS ?= 20000
SANE  := build/sanitize
test-sanitize: $(VENV)/installed
	rm -rf $(SANE)
	RLSCRATCH_REQUIRE_C=1 CFLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
	    LDFLAGS="-fsanitize=address,undefined" $(RUN) -m build --outdir $(SANE) > /dev/null
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --target $(SANE)/lib $(SANE)/*.whl
	export LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(SANE)/lib:tests; \
	    $(RUN) -P -m pytest tests/test_kernels*.py && $(RUN) -P tests/fuzz_kernels.py $(CALLS)

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
	@rm -f rlscratch/kernels/*.so       # or a core that no longer compiles would go on in its last form
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) .*_cache build dist out *.egg-info rlscratch/kernels/*.so
