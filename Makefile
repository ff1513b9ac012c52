# Two commands matter, `make demo` and `make test`; before them nothing is needed but Python, make and git.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := help

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Where Python is told to keep nothing that it compiled, each process that a test starts compiles the project anew.
unexport PYTHONDONTWRITEBYTECODE

# What the demo runs, such as DEMO="doctor".
DEMO ?= capture --classify --camera sim --count 3

# On Raspberry Pi OS picamera2 comes from apt; VENV_OPTIONS=--system-site-packages lets the environment see it.
VENV_OPTIONS ?=

# A test file stays on one core: its tests share what it loads. Those of trainer take longest and come first, so that no
# long one is left to a single core at the end.
PYTEST_OPTIONS ?= -n 2 --dist loadfile --no-loadscope-reorder

# Where `make test-device` keeps the machines that it has made, and which of its tests it runs.
BEDS ?= $(CURDIR)/.beds
DEVICE_TESTS ?= tests/device --timeout 3600

# For which Pythons and machines `make wheelhouse` fetches wheels, such as 3.11-aarch64; by default see tools/wheelhouse.
WHEELS_FOR ?=

# The Pythons of this machine, VERSION:PATH, oldest first. Looking for them takes a second, so only recipes ask.
PYTHONS = $(eval PYTHONS := $(shell tools/pythons))$(or $(PYTHONS),$(error No Python 3.10 to 3.13 with venv was \
	found; on Debian, Ubuntu and Raspberry Pi OS: apt install python3-venv))
VERSIONS = $(foreach found,$(PYTHONS),$(firstword $(subst :, ,$(found))))
path_of = $(patsubst $(1):%,%,$(filter $(1):%,$(PYTHONS)))

# Keras asks for Python 3.11 or later, the last tflite-runtime for 3.11 or earlier.
OLDEST = $(firstword $(VERSIONS))
NEWEST = $(lastword $(VERSIONS))
WHOLE = $(addprefix .venvs/whole-,$(firstword $(filter-out 3.10,$(VERSIONS))))
TFLITE = $(addprefix .venvs/tflite-,$(lastword $(filter 3.10 3.11,$(VERSIONS))))
DEVICE = $(addprefix .venvs/device-,$(sort $(OLDEST) $(NEWEST)))
NEWER = $(filter-out .venvs/device-$(OLDEST),$(DEVICE))


.PHONY: help
help: ## Say what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 22

.PHONY: demo
demo: install ## Capture, judge and log fields of the simulated microscope
	.venv/bin/wbc-edge $(DEMO)

.PHONY: install
install: .venv/installed ## Make .venv: what the device needs and nothing else

.PHONY: workstation
workstation: .venv-workstation/installed ## Make .venv-workstation: trainer and convert too

# While the large environment is made and checked, which takes one core and waits much, a suite runs beside.
.PHONY: test
test: ## Run the checks and every suite, the whole one last
	$(if $(WHOLE),,@echo "skipped: the checks, trainer and convert; they need Python 3.11 to 3.13, here is $(VERSIONS)")
	$(if $(TFLITE),,@echo "skipped: tflite-runtime; it needs Python 3.10 or 3.11, here is $(VERSIONS)")
	failed=0; \
	$(MAKE) --no-print-directory --jobs=2 --output-sync --keep-going \
		$(if $(WHOLE),check) test-edge-$(OLDEST) $(if $(TFLITE),test-tflite) $(addsuffix /installed,$(NEWER)) || failed=1; \
	$(MAKE) --no-print-directory --jobs=1 --keep-going $(NEWER:.venvs/device-%=test-edge-%) $(if $(WHOLE),test-whole) \
		|| failed=1; \
	exit $$failed

.PHONY: check
check: ## Check style, types and architecture
	$(call ready,$(WHOLE))
	$(WHOLE)/bin/ruff check
	$(WHOLE)/bin/ruff format --check
	$(WHOLE)/bin/mypy
	$(WHOLE)/bin/lint-imports

.PHONY: test-tflite
test-tflite: ## Run the tests of the tflite-runtime back end
	$(call ready,$(TFLITE))
	$(TFLITE)/bin/python -m pytest -m tflite_runtime tests/edge

.PHONY: test-edge
test-edge: ## Run the suite of edge on the oldest and the newest Python
	$(MAKE) --no-print-directory --keep-going $(DEVICE:.venvs/device-%=test-edge-%)

# Not by a prerequisite: `make --jobs` would make the environments of all goals before it runs a suite.
test-edge-%:
	$(call ready,.venvs/device-$*)
	.venvs/device-$*/bin/python -m pytest $(PYTEST_OPTIONS) tests/edge

.PHONY: test-whole
test-whole: ## Run the whole suite: edge, trainer and convert
	$(call ready,$(WHOLE))
	$(WHOLE)/bin/python -m pytest $(PYTEST_OPTIONS) tests/trainer tests

.PHONY: test-device
test-device: ## Try the service in a container, a virtual machine and an Arm tree; needs root and an hour
	$(call ready,$(WHOLE))
	@[ "$$(id -u)" = 0 ] || { echo "test-device needs root: it boots machines of its own" >&2; exit 1; }
	WBC_BEDS=$(BEDS) $(WHOLE)/bin/python -m pytest $(DEVICE_TESTS)

.PHONY: wheelhouse
wheelhouse: ## Fill dist/wheelhouse: all that a device is installed from without a network
	$(call ready,$(WHOLE))
	$(WHOLE)/bin/python tools/wheelhouse dist/wheelhouse $(WHEELS_FOR)

# Two of the largest packages there are, for two test files: not part of `make test`.
BACKENDS ?= jax torch==2.13.0

.PHONY: test-backends
test-backends: .venvs/backends/installed ## Train under the jax and torch back ends of Keras; downloads both
	.venvs/backends/bin/python -m pytest tests/trainer/test_backends.py
	for backend in jax torch; do \
		KERAS_BACKEND=$$backend .venvs/backends/bin/python -m pytest tests/trainer/test_learning.py -k "threads or stopped" \
		|| exit 1; done

.PHONY: test-elsewhere
test-elsewhere: .venvs/elsewhere/installed ## Run exported networks in MediaPipe, onnxruntime and bioimage.io's checks
	$(call ready,$(WHOLE))
	WBC_ELSEWHERE_PYTHON=.venvs/elsewhere/bin/python $(WHOLE)/bin/python -m pytest tests/convert/test_elsewhere.py

# MediaPipe brings an OpenCV of its own, so it cannot be in an environment with ours.
.venvs/elsewhere/installed: Makefile
	rm -rf $(@D)
	$(call path_of,$(firstword $(filter-out 3.10,$(VERSIONS)))) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet bioimageio.spec mediapipe==1.2.3 onnxruntime==1.32.0
	touch $@

.PHONY: format
format: ## Format the code and mend what ruff can mend
	$(call ready,$(WHOLE))
	$(WHOLE)/bin/ruff check --fix
	$(WHOLE)/bin/ruff format

.PHONY: clean
clean: ## Remove the environments and caches
	rm -rf .venv .venv-workstation .venvs .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build wbc_edge.egg-info


# $(call ready,FOLDERS): make sure that these environments are there.
ready = @$(MAKE) --no-print-directory $(addsuffix /installed,$(or $(1),$(error No Python for this one; found: $(VERSIONS))))

# Environments are made afresh when their lock changes, so that nothing of the old one stays behind.
# $(call environment,PYTHON)
define environment
	rm -rf $(@D)
	$(1) -m venv $(VENV_OPTIONS) $(@D)
	$(@D)/bin/python -m pip install --quiet $(COMPILE) --requirement $<
	touch $@
endef

# Those of the tests compile what they import, when they import it: a third of what would be compiled beforehand.
.venvs/%: COMPILE := --no-compile

.venv/locked: requirements/device.txt
	$(call environment,$(or $(PYTHON),$(call path_of,$(NEWEST))))

.venv-workstation/locked: requirements/whole.txt
	$(call environment,$(or $(PYTHON),$(call path_of,$(firstword $(filter-out 3.10,$(VERSIONS))))))

.venvs/device-%/locked: requirements/device-tests.txt
	$(call environment,$(call path_of,$*))

.venvs/tflite-%/locked: requirements/tflite-tests.txt
	$(call environment,$(call path_of,$*))

.venvs/whole-%/locked: requirements/whole.txt
	$(call environment,$(call path_of,$*))

.venvs/backends/locked: requirements/whole.txt
	$(call environment,$(call path_of,$(firstword $(filter-out 3.10,$(VERSIONS)))))
	$(@D)/bin/python -m pip install --quiet $(BACKENDS)

# Each writes wbc_edge.egg-info; some systems have no flock.
ONE_AT_A_TIME = $(shell command -v flock >/dev/null && echo flock Makefile)

%/installed: %/locked pyproject.toml
	$(ONE_AT_A_TIME) $(@D)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@


# The locks: one file for Python 3.10 to 3.13 and for x86_64 and aarch64. Without hashes, because the package index of
# Raspberry Pi OS rebuilds wheels, with other bytes. Needs uv; `make lock UPGRADE=--upgrade` takes what is newer.
UV ?= uv
UPGRADE ?=
compile = $(UV) pip compile --quiet --universal --no-python-downloads --no-emit-index-url --no-emit-find-links \
	--no-annotate --custom-compile-command "make lock" $(UPGRADE)

.PHONY: lock
lock: ## Lock the versions of everything that is installed
	$(compile) --python-version 3.10 pyproject.toml --output-file requirements/device.txt
	$(compile) --python-version 3.10 pyproject.toml --group test --constraints requirements/device.txt \
		--output-file requirements/device-tests.txt
	$(compile) --python-version 3.11 pyproject.toml --group test --group checks --extra trainer --extra convert \
		--constraints requirements/device-tests.txt --output-file requirements/whole.txt
	$(compile) --python-version 3.10 pyproject.toml --group test --extra tflite \
		--excludes <(echo ai-edge-litert) --output-file requirements/tflite-tests.txt
