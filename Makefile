# Thin lines over plain Python commands; the README has those for people without make.
#   make course ARGS="--only 02 --tiny"    make test ARGS="-k run"    make course PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: help course test test-long claims bench site publish lab notebooks student instructor lint clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

course: $(READY) ## run every notebook and write HTML to build/html (ARGS: see python -m tools run --help)
	$(RUN) -m tools run $(ARGS)

test: $(READY) ## run the tests, two at a time (ARGS go to pytest)
	$(RUN) -m pytest -n 2 --maxschedchunk 1 $(ARGS)

test-long: $(READY) ## run the tests that take minutes (ARGS go to pytest)
	$(RUN) -m pytest -n 2 --maxschedchunk 1 -m thorough $(ARGS)

claims: $(READY) ## check the claims of the notebooks, with SEEDS="0 1 2 3 4" (ARGS: 02 03 ...)
	$(RUN) -m tools claims $(if $(SEEDS),--seeds "$(SEEDS)") $(ARGS)

bench: $(READY) ## measure speed and accuracy against reference implementations (ARGS: see python -m benchmarks --help)
	$(RUN) -m benchmarks $(ARGS)

site: $(READY) ## build the website of the course, build/site/index.html
	$(RUN) -m tools site

publish: $(READY) ## put the course's address on GitHub into its links (REPO=owner/name BRANCH=main)
	$(RUN) -m tools publish "$(REPO)" "$(BRANCH)"

lab: $(READY) ## open the notebooks in JupyterLab
	$(RUN) -m jupyter lab notebooks

notebooks: $(READY) ## execute the notebooks in place, for committing (ARGS: names of notebooks)
	$(RUN) -m tools execute $(ARGS)
	$(RUN) -m tools pitfalls

student: $(READY) ## build the edition for students: dist/student and a zip of it
	$(RUN) -m tools student

instructor: $(READY) ## build the edition for instructors: dist/instructor and a zip of it
	$(RUN) -m tools instructor

lint: $(READY) ## check the style of code and notebooks
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m tools lint

clean: ## remove what notebooks, tests and commands wrote (the environment stays)
	rm -rf build dist .pytest_cache .ruff_cache

# Installs again only when the requirements changed.
$(READY): requirements.txt pyproject.toml | $(RUN)
	$(RUN) -m pip install -r requirements.txt
	@touch $@

$(RUN):
	$(PYTHON) -m venv $(VENV)
