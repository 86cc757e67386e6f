# Everything runs in a virtual environment of this folder. `make demo` is the place to start.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Each worker computes in one thread, so that workers do not wait for each other's; files stay together for their fixtures.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
# Instructions of a processor without AVX-512, as far as the libraries let themselves be told.
OLDER_CPU := ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"

.PHONY: demo test test-older-cpu hostile ohif check fuzz bench gpu-check wheelhouse clean

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py

test: $(VENV)/installed
	$(PYTEST)

# What computes, once more as an older processor: sums of floats come out otherwise there, results must not.
test-older-cpu: $(VENV)/installed
	$(OLDER_CPU) $(PYTEST) tests/parity tests/export/gate tests/export/graphs tests/export/networks tests/export/int8 \
		tests/runtime/images tests/runtime/breasts

# Families of inputs that try to do harm: outcome, time and peak memory of each. With LONG=1 thousands instead of tens.
hostile: $(VENV)/installed
	$(BIN)/python tests/hostile/hostile.py $(if $(LONG),--long)

# The viewer in which tests look at the results, as its makers built it: 48 MB from the npm registry.
OHIF := 3.13.2
ohif: .ohif/$(OHIF)
.ohif/$(OHIF):
	rm -rf .ohif && mkdir .ohif
	cd .ohif && npm pack --silent @ohif/app@$(OHIF)
	tar -xzf .ohif/ohif-app-$(OHIF).tgz -C .ohif
	rm .ohif/ohif-app-$(OHIF).tgz
	touch $@

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
	rm -rf $(VENV) .ohif demo_out wheelhouse dist .pytest_cache .mypy_cache .ruff_cache
