# make demo    the main job: an ensemble of simulations watched by an analysis through a database
# make test    the whole test suite
# make check   format, lint, types and dependency rules, in the order in which CI runs them
# make bench   launch rates and latencies, each as a ratio to a floor measured in the same run
# make clean   remove what the others made

PYTHON ?= python3
VENV ?= .venv
RESULTS ?= demo-results
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)

.PHONY: demo test check bench clean
.SILENT:

demo: $(VENV)/.demo
	echo "running examples/online_analysis: four simulations, a database and an analysis"
	$(VENV)/bin/python examples/online_analysis/driver.py $(RESULTS)

test: $(VENV)/.dev
	$(VENV)/bin/pytest $(ARGS)

check: $(VENV)/.dev
	VENV=$(VENV) scripts/check

bench: $(VENV)/.dev
	$(VENV)/bin/python -m benchmarks $(ARGS)

$(VENV)/.demo: $(PROJECTS) scripts/setup
	scripts/setup $(PYTHON) $(VENV) demo

$(VENV)/.dev: $(PROJECTS) scripts/setup
	scripts/setup $(PYTHON) $(VENV) dev

clean:
	rm -rf $(VENV) $(RESULTS) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
