# Everything runs in a virtual environment of this folder. `make demo` is the place to start.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check fuzz bench gpu-check wheelhouse clean

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py

test: $(VENV)/installed
	$(BIN)/python -m pytest

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A minute of damaged files through the study reader.
fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz/fuzz_study.py

# Reports in benchmarks/results and README's figures, in about 20 minutes on 2 cores; leave the machine alone meanwhile.
# With FCDD_REFERENCE_DATA the VGG network is a trained one. To go on after a step that failed: make bench FROM=vgg-compare
bench: $(VENV)/installed
	PYTHONPATH=examples $(BIN)/python -m release_benchmark $(if $(FROM),--from $(FROM))

# Every exported model on every GPU backend that is here, against its golden vectors; says so where there is no GPU.
gpu-check: $(VENV)/installed
	$(BIN)/python -m fcdd_benchmarks.gpu_check

# All wheels that an appliance without network needs: pip install --no-index --find-links wheelhouse 'fcdd-edge[onnxruntime]'
wheelhouse: $(VENV)/installed
	$(BIN)/python -m pip wheel --wheel-dir wheelhouse -c constraints.txt '.[onnxruntime]'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo_out wheelhouse dist .pytest_cache .mypy_cache .ruff_cache
