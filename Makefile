# make delegate the library in C++ and its tests; make sanitizers them under sanitizers; make delegates, make wheels
#             the library and the wheels for Linux on x86-64 and ARM64
# make benchmark-program  a static program that measures networks on a phone or wherever nothing is installed
# make arm64-check  the delegate's tests on ARM64, which QEMU emulates, and the instructions that it takes there
# make apk    the Android app with stock TensorFlow Lite, the delegate and some networks; make android-check all its checks
# make demo   export the digits network, check it, classify digits, show them
# make test   the test suite, in minutes; make test-long the tests that train several networks, or start, kill and
#             resume processes; make test-all everything, with the slow tests
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

# CMake and Ninja of the environment serve where the system has none.
CMAKE := PATH="$(PATH):$(abspath $(BIN))" cmake
CTEST := PATH="$(PATH):$(abspath $(BIN))" ctest
ZIG_VERSION := 0.17.1
ZIG := .venv-zig
GLIBC := 2.28
DELEGATES := build/delegates
ARCHITECTURES := x86_64 aarch64
ANDROID_API := 24
ARM64 := .venv-arm64
PROGRAMS := build/android
PROGRAM_SOURCES := $(shell find runtime/CMakeLists.txt runtime/delegate runtime/program -type f) larq_melius/version.py

.PHONY: delegate sanitizers delegates benchmark-program wheels arm64-check apk android-check install demo digits test test-long test-all lint types format interop interop-smoke benchmarks wheel clean

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

test-long: install
	$(BIN)/pytest $(PARALLEL) -m '(process or long) and not slow'

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

# The delegate alone, and its own tests: what a C++ programmer needs.
delegate:
	cd runtime && $(CMAKE) --preset release -DLARQ_MELIUS_TESTS=ON
	cd runtime && $(CMAKE) --build --preset release
	cd runtime && $(CTEST) --preset release

# The same tests under each sanitizer.
sanitizers:
	set -e; cd runtime; for preset in asan ubsan tsan; do \
	  $(CMAKE) --preset $$preset; $(CMAKE) --build --preset $$preset; $(CTEST) --preset $$preset; done

# The delegate for other machines, by Zig's cross compiler, each checked for what it needs.
ANDROID_DELEGATES := $(patsubst %,$(DELEGATES)/liblarq_melius_delegate-android-%.so,arm64 x86_64)
delegates: $(patsubst %,$(DELEGATES)/liblarq_melius_delegate-linux-%.so,$(ARCHITECTURES)) $(ANDROID_DELEGATES)

$(ZIG)/installed-$(ZIG_VERSION):
	$(PYTHON) -m venv $(ZIG)
	$(ZIG)/bin/pip install --quiet ziglang==$(ZIG_VERSION) 'cmake>=3.24' 'ninja>=1.11'
	touch $@

$(DELEGATES)/liblarq_melius_delegate-linux-%.so: $(DELEGATE_SOURCES) $(ZIG)/installed-$(ZIG_VERSION) \
    runtime/cross/zig.cmake tests/helpers/check_library.py
	PATH="$(abspath $(ZIG))/bin:$(PATH)" cmake --fresh -S runtime -B build/cross-$* -G Ninja \
	  -DCMAKE_TOOLCHAIN_FILE=cross/zig.cmake -DTARGET=$*-linux-gnu.$(GLIBC) -DLARQ_MELIUS_TESTS=OFF \
	  -DZIG=$$($(ZIG)/bin/python -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig
	PATH="$(abspath $(ZIG))/bin:$(PATH)" cmake --build build/cross-$*
	mkdir -p $(@D)
	cp build/cross-$*/liblarq_melius_delegate.so $@.new
	$(PYTHON) tests/helpers/check_library.py $@.new glibc $(GLIBC)
	mv $@.new $@

# Android names the ABI of its 64-bit ARM processors arm64-v8a.
$(DELEGATES)/liblarq_melius_delegate-android-%.so: $(DELEGATE_SOURCES) $(ZIG)/installed-$(ZIG_VERSION) \
    runtime/cross/zig.cmake runtime/cross/android.cmake $(wildcard android/native/*) tests/helpers/check_library.py
	PATH="$(abspath $(ZIG))/bin:$(PATH)" cmake --fresh -S runtime -B build/cross-android-$* -G Ninja \
	  -DCMAKE_TOOLCHAIN_FILE=cross/android.cmake -DARCHITECTURE=$(subst arm64,aarch64,$*) -DLARQ_MELIUS_TESTS=OFF \
	  -DZIG=$$($(ZIG)/bin/python -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig
	PATH="$(abspath $(ZIG))/bin:$(PATH)" cmake --build build/cross-android-$*
	mkdir -p $(@D)
	cp build/cross-android-$*/liblarq_melius_delegate.so $@.new
	$(PYTHON) tests/helpers/check_library.py $@.new android $(ANDROID_API)
	mv $@.new $@

# The benchmark program, for Android and any Linux, by Zig's cross compiler with the C library in it.
benchmark-program: $(PROGRAMS)/larq-melius-benchmark-arm64 $(PROGRAMS)/larq-melius-benchmark-x86_64

$(PROGRAMS)/larq-melius-benchmark-arm64: ARCHITECTURE := aarch64
$(PROGRAMS)/larq-melius-benchmark-x86_64: ARCHITECTURE := x86_64
$(PROGRAMS)/larq-melius-benchmark-%: $(PROGRAM_SOURCES) $(ZIG)/installed-$(ZIG_VERSION) runtime/cross/zig.cmake \
    tests/helpers/check_program.py
	PATH="$(abspath $(ZIG))/bin:$(PATH)" cmake --fresh -S runtime -B build/program-$* -G Ninja \
	  -DCMAKE_TOOLCHAIN_FILE=cross/zig.cmake -DTARGET=$(ARCHITECTURE)-linux-musl -DLARQ_MELIUS_TESTS=OFF \
	  -DLARQ_MELIUS_PROGRAM=ON -DLARQ_MELIUS_STATIC=ON \
	  -DZIG=$$($(ZIG)/bin/python -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig
	PATH="$(abspath $(ZIG))/bin:$(PATH)" cmake --build build/program-$* --target larq-melius-benchmark
	mkdir -p $(@D)
	cp build/program-$*/program/larq-melius-benchmark $@.new
	$(PYTHON) tests/helpers/check_program.py $@.new $*
	mv $@.new $@

# The delegate on ARM64, which QEMU emulates: the tests that compare it, and the instructions that it takes. UPDATE=--update
# stores their numbers as those that are allowed.
arm64-check: install
	if $(MAKE) $(ARM64)/installed $(DELEGATES)/liblarq_melius_delegate-linux-aarch64.so \
	    $(PROGRAMS)/larq-melius-benchmark-arm64 build/count_instructions.so; then \
	  LARQ_MELIUS_DELEGATE=$(abspath $(DELEGATES))/liblarq_melius_delegate-linux-aarch64.so \
	  LARQ_MELIUS_EMULATED_PYTHON=$(abspath $(ARM64))/python \
	  $(BIN)/pytest tests/runtime/test_delegate_operators.py tests/runtime/test_delegate_floats.py \
	    tests/runtime/test_delegate_fusion.py tests/runtime/test_delegate_networks.py && \
	  LARQ_MELIUS_BENCHMARK_PROGRAM="$(abspath $(ARM64))/qemu $(abspath $(PROGRAMS))/larq-melius-benchmark-arm64" \
	  $(BIN)/pytest tests/runtime/test_benchmark_program.py && \
	  PYTHONPATH=tests/helpers $(BIN)/python tests/arm64/count_instructions.py $(UPDATE) \
	    $(DELEGATES)/liblarq_melius_delegate-linux-aarch64.so $(abspath $(ARM64))/python build/count_instructions.so; \
	else echo 'SKIPPED: the delegate on ARM64, of which something could not be fetched or built here (see above).'; fi

$(ARM64)/installed: tests/arm64/install.sh
	PYTHON=$(PYTHON) tests/arm64/install.sh $(ARM64)
	touch $@

build/count_instructions.so: tests/arm64/count_instructions.c
	mkdir -p build
	$(CC) -O2 -Wall -Wextra -shared -fPIC -o $@ $<

# The Android app. The key for debugging is made once; with the same key the same sources give the same file.
ANDROID := build/android
ANDROID_KEY ?= .android/debug.p12
DX := com.jakewharton.android.repackaged:dalvik-dx:16.0.1
COPY := org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy

apk: install $(ANDROID)/larq-melius-benchmark.apk

$(ANDROID)/larq-melius-benchmark.apk: $(ANDROID)/models/made $(ANDROID_DELEGATES) $(ANDROID)/dalvik-dx.jar android/package.py \
    android/pom.xml $(shell find android/src/main -type f)
	android/install.sh
	rm -rf android/target/classes
	mvn --quiet --batch-mode --file android/pom.xml compile
	$(BIN)/python android/package.py --classes android/target/classes --delegates $(DELEGATES) \
	  --tflite android/target/tensorflow-lite.aar --models $(ANDROID)/models --dx $(ANDROID)/dalvik-dx.jar \
	  --key $(ANDROID_KEY) $@

$(ANDROID)/dalvik-dx.jar:
	android/install.sh
	mvn --quiet --batch-mode $(COPY) -Dartifact=$(DX) -DoutputDirectory=$(abspath $(ANDROID)) -Dmdep.stripVersion=true

$(ANDROID)/models/made: android/models.py zoo/random_networks.py
	cd tests && ../$(BIN)/python ../android/models.py ../$(ANDROID)/models
	touch $@

# Where something cannot be fetched, it is skipped; what does not build is an error.
android-check: install
	if android/install.sh check && $(MAKE) $(ZIG)/installed-$(ZIG_VERSION) $(ANDROID)/dalvik-dx.jar; then \
	  $(MAKE) apk benchmark-program $(DELEGATES)/liblarq_melius_delegate-linux-x86_64.so && \
	  mvn --batch-mode --no-transfer-progress --file android/pom.xml test && \
	  ANDROID_APK=$(abspath $(ANDROID))/larq-melius-benchmark.apk ANDROID_KEY=$(abspath $(ANDROID_KEY)) \
	  ANDROID_ZIG=$$($(ZIG)/bin/python -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig \
	  $(BIN)/pytest -m android -rs tests; \
	else echo 'SKIPPED: the checks of the Android app, of which something could not be installed here (see above).'; fi

# Source distribution and a wheel for this machine; "wheels" are those for other machines to be published.
wheel: install
	$(BIN)/python -m build --outdir dist .

wheels: install delegates
	set -e; for architecture in $(ARCHITECTURES); do \
	  LARQ_MELIUS_PREBUILT_DELEGATE=$(abspath $(DELEGATES))/liblarq_melius_delegate-linux-$$architecture.so \
	  $(BIN)/python -m build --wheel --outdir dist \
	  --config-setting=--build-option=--plat-name=manylinux_$(subst .,_,$(GLIBC))_$$architecture .; done

clean:
	rm -rf build dist demo *.egg-info
