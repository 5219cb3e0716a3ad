# make demo   export the digits network, check it, classify digits, show them
# make test   the test suite, in minutes; make test-processes those that start, kill and resume processes;
#             make test-all everything, with the slow tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A strict editable install links the files there are and builds the delegate: a new file, or a change of its sources,
# asks for a new install.
FILES := $(shell find larq_melius zoo converters runtime -type f -not -path '*/__pycache__/*' | sort | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/installed-$(FILES)
DELEGATE_SOURCES := $(shell find runtime/CMakeLists.txt runtime/delegate -type f)
INTEROP := .venv-interop

# Processes that run tests, each of them whole modules, in the order of tests/conftest.py: the longest first.
JOBS ?= 2
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Python in the repository's root would import ./larq_melius, without its zoo and converters: run modules from elsewhere.
RUN := cd tests && ../$(BIN)/python -m

.PHONY: install demo digits test test-processes test-all lint types format interop interop-smoke benchmarks wheel clean

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml $(DELEGATE_SOURCES)
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install -qq --editable '.[dev]' --config-settings editable_mode=strict
	rm -f $(VENV)/installed-*
	touch $@

demo: install
	$(BIN)/larq-melius demo --output demo

digits: install
	$(RUN) larq_melius.zoo.digits.train

test: install
	$(BIN)/pytest $(PARALLEL)

test-processes: install
	$(BIN)/pytest $(PARALLEL) -m 'process and not slow'

test-all: install
	$(BIN)/pytest $(PARALLEL) -m ''

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd tests && ../$(BIN)/lint-imports ../pyproject.toml

types: install
	cd tests && ../$(BIN)/mypy --config-file ../pyproject.toml -p larq_melius

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Each other implementation has an environment of its own: requirements-X.txt, and no-deps-X.txt without dependencies.
$(INTEROP)/%/installed: tests/interop/requirements-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	if test -f tests/interop/no-deps-$*.txt; then \
	  $(@D)/bin/pip install --quiet --no-deps --requirement tests/interop/no-deps-$*.txt; fi
	touch $@

interop: install $(patsubst %,$(INTEROP)/%/installed,bitorch larq-zoo mediapipe mxnet)
	INTEROP_PYTHON=$(abspath $(INTEROP)/bitorch/bin/python) \
	LARQ_ZOO_PYTHON=$(abspath $(INTEROP)/larq-zoo/bin/python) \
	MEDIAPIPE_PYTHON=$(abspath $(INTEROP)/mediapipe/bin/python) \
	MXNET_PYTHON=$(abspath $(INTEROP)/mxnet/bin/python) \
	$(BIN)/pytest tests/interop --override-ini addopts=--import-mode=importlib

# The Larq Zoo beside the packages that .venv has already: a few files, quickly installed.
$(INTEROP)/smoke/installed: tests/interop/no-deps-larq-zoo.txt
	$(BIN)/python -m venv $(@D)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth
	$(@D)/bin/pip install --quiet --retries 1 --no-deps --requirement $< 'typeguard>=4,<5'
	touch $@

interop-smoke: install
	if $(MAKE) $(INTEROP)/smoke/installed; then \
	  LARQ_ZOO_PYTHON=$(abspath $(INTEROP)/smoke/bin/python) \
	  $(BIN)/pytest tests/interop/test_larq_zoo.py -m smoke --override-ini addopts='--import-mode=importlib --strict-markers'; \
	else echo 'SKIPPED: the comparison with the Larq Zoo, which could not be installed here (see above).'; fi

benchmarks: install $(INTEROP)/larq-zoo/installed
	$(BIN)/python benchmarks/deployment.py --output benchmarks/deployment.csv
	$(BIN)/python benchmarks/weight_files.py --rounds 15 --output benchmarks/weight_files.csv
	rm -f benchmarks/train_throughput.csv
	$(BIN)/python benchmarks/train_throughput.py --output benchmarks/train_throughput.csv \
	  --larq-zoo-python $(INTEROP)/larq-zoo/bin/python
	$(BIN)/python benchmarks/train_throughput.py --pipeline

wheel: install
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf build dist demo *.egg-info
