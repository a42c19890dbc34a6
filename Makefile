# Each target sets up .venv by itself: nothing but Python >= 3.11 (with venv and pip) and make is needed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-all lab app slides clean FORCE

# PYTHON=... on the command line overrides; else the first candidate that starts and is new enough.
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
    $$python -c '$(IS_NEW_ENOUGH)' 2>/dev/null && { echo $$python; break; }; done)

BIN := .venv/bin
# The stamp carries the folder's checksum: a checkout that was moved or copied with its .venv installs afresh,
# because the scripts inside hold absolute paths.
STAMP := .venv/.installed-$(shell pwd | cksum | cut -d ' ' -f 1)
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb notebooks/solutions/*.ipynb))

help:  ## show this help
	@echo "Targets (each sets up .venv by itself, once):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(STAMP)  ## train, evaluate and look: every notebook, quick preset; ends with the page to open
	@$(BIN)/workbench sweep notebooks/sweeps/beta.toml --preset quick
	@$(BIN)/workbench run --preset quick

test: $(STAMP)  ## ruff, the tests, and most notebooks' stored outputs against fresh ones: minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@test -n "$(NOTEBOOKS)" || { echo "There are no notebooks to test in notebooks/." >&2; exit 1; }
	@$(POOL) -m 'not slow'

test-all: test  ## also what takes long: browsers, processes that are killed, whole trainings, every notebook
	@$(POOL) -m slow

lab: $(STAMP)  ## open JupyterLab on copies of the notebooks, in outputs/lab
	@$(BIN)/python -m workbench.notebooks copy outputs/lab
	@$(BIN)/jupyter lab --ServerApp.root_dir='$(CURDIR)' --LabApp.default_url=/lab/tree/outputs/lab/welcome.ipynb $(LABFLAGS)

# The kernel python3 is that of .venv, whatever kernels the user has installed under this name. Each visit starts one;
# Voila cannot end it when the page is closed (github.com/voila-dashboards/voila/issues/1458), so it is culled after a
# minute without a page.
APP := notebooks/app.ipynb
CULLED := --MappingKernelManager.cull_idle_timeout=60 --MappingKernelManager.cull_interval=15
# Cells run inside one message: a busy machine would not answer pings, and lose the page after 90 seconds.
PATIENT := --Voila.tornado_settings='{"ws_ping_interval":0}'
app: $(STAMP)  ## serve the explorers as a page of this machine, without code
	@test -f '$(APP)' || { echo "There is no notebook $(APP): name another with make app APP=..." >&2; exit 1; }
	@$(BIN)/python -c 'from workbench import explorers; explorers.explored_models()'  # renders test items, once, before a page waits
	@JUPYTER_PREFER_ENV_PATH=1 $(BIN)/voila --Voila.ip=127.0.0.1 --progressive_rendering=True $(PATIENT) $(CULLED) $(APPFLAGS) '$(APP)'

# reveal.js comes from the network, or from where REVEAL says, a folder beside the slides or an address.
slides: $(STAMP)  ## slides of notebooks 00, 02 and 10, without code, in outputs/slides
	@$(BIN)/python -m workbench.notebooks slides outputs/slides $(REVEAL)

clean:  ## remove .venv, runs (not outputs/reference) and caches; downloaded data stays
	rm -rf .venv build ./*.egg-info .pytest_cache .ruff_cache .hypothesis
	test ! -d outputs || find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	find . -path ./.git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# One pool of processes for tests and notebooks, one of each core and each on one thread; a file is one process's. Long
# notebooks begin first. They are compared under IPython's and Jupyter's own defaults, whatever the user's home folder
# configures.
ISOLATED := IPYTHONDIR=$(CURDIR)/.venv/ipython JUPYTER_CONFIG_DIR=$(CURDIR)/.venv/jupyter \
    JUPYTER_PREFER_ENV_PATH=1 MPLBACKEND=
POOL := env -u MAKEFLAGS $(ISOLATED) OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest \
    --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 10 \
    --nbval --nbval-current-env --nbval-cell-timeout 900 --nbval-kernel-startup-timeout 300 $(NOTEBOOKS) tests

# An .venv whose Python has gone (a system upgrade, a deleted installation) counts as not installed.
$(STAMP): pyproject.toml constraints.txt $(if $(wildcard $(BIN)/python),,FORCE)
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found: install one, or name it: make PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { echo "$(PYTHON) is not a working Python >= 3.11: name another with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks venv or pip: on Debian and Ubuntu, apt install python3-venv." >&2; exit 1; }
	@test -f $@ -a -x $(BIN)/python || $(PYTHON) -m venv --clear .venv
	@echo "Installing the pinned requirements into .venv with $$($(BIN)/python -V) (once; a few minutes) ..."
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --progress-bar off \
	    -c constraints.txt -e '.[notebooks,cluster,test]' 2>&1 | tee .venv/install.log | awk ' \
	    /ERROR:/ { sub(/^ +/, ""); print } \
	    /\([0-9]+(\.[0-9]+)? [MG]B\)/ && !/\([0-9](\.[0-9]+)? MB\)/ { sub(/^ +/, ""); print "  " $$0; fflush() } \
	    /^Installing collected packages/ { print "  Installing " NF - 3 " packages"; fflush() }' \
	    || { echo "The installation failed; the whole log is .venv/install.log." >&2; exit 1; }
	@touch $@
	@echo "Installed."
