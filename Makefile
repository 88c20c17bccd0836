# Each target creates the environment it needs; all of it comes from pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-browser lint bench accuracy neurons neuron-recipes clean

demo: $(READY)
	$(BIN)/reslif flow examples/digits_ms.toml

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/pytest -m slow -n 2 --dist worksteal

# Needs Debian's chromium and chromium-driver, which no package of pip has.
test-browser: $(READY)
	$(BIN)/pytest -m browser tests/test_report_browser.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(READY)
	$(BIN)/reslif bench
	$(BIN)/python tests/training_speed.py runs/bench/training_speed.json

accuracy: $(READY)
	$(BIN)/python -m reslif.sw.studies.accuracy runs/accuracy.json

neurons: $(READY)
	$(BIN)/python tests/neuron_report.py docs/neurons.md runs/neurons.json

neuron-recipes: $(READY)
	for recipe in examples/neurons/*.toml; do \
		$(BIN)/reslif flow $$recipe --until cosim || exit $$?; \
	done

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .ruff_cache .hypothesis

# snnTorch and SpikingJelly (with its logger, loguru) are oracles of the tests only; they run on the
# packages that are here already.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,sim,fpga,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps \
		snntorch==1.0.0 spikingjelly==2.0.0 loguru
	touch $@
