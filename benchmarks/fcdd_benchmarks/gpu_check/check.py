"""One model on one backend: compared with its golden vectors, then timed by batch size."""

import importlib
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from fcdd_benchmarks.gpu_check.backends import Opened
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.golden import GoldenVectors, SelfTest, self_test
from fcdd_runtime.backends.tensorrt.library import PACKAGES
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import FcddError, GateError

MODULES = {"onnxruntime": "onnxruntime", **{flavour: package.module for flavour, package in PACKAGES.items()}}
"""What is imported for what runs a model."""
BATCH_SIZES = (1, 8, 32)
WARM_UPS = 10
REPEATS = 200
LIMIT_S = 10.0
"""No batch size is timed for longer, but once."""


@dataclass(frozen=True)
class Latency:
    """One batch size's figures: from images in memory to scores and maps in memory."""

    batch: int
    repeats: int
    median_ms: float
    p95_ms: float
    images_per_second: float
    """By the median."""


@dataclass(frozen=True)
class Check:
    """One model on one backend."""

    model: str
    network: str
    precision: str
    backend: str
    version: str
    """Of the library that ran it."""
    golden: SelfTest | None
    """Comparison with the golden vectors; None if it failed."""
    latencies: tuple[Latency, ...]
    failure: str | None
    """Why there are no figures."""
    refused: bool
    """Whether the failure is that of a gate: the answers were wrong."""


def check(contract: ModelContract, backend: str, package: str, opening: AbstractContextManager[Opened]) -> Check:
    """Open a backend, compare it with the golden vectors and time it; a failure ends this check only."""
    done: SelfTest | None = None
    latencies: tuple[Latency, ...] = ()
    error: FcddError | None = None
    try:
        with opening as (model, golden):
            done = self_test(model, golden)
            latencies = measure_latency(model, golden)
    except FcddError as caught:
        error = caught
    return Check(
        model=contract.name,
        network=contract.network,
        precision=contract.precision,
        backend=backend,
        version=str(importlib.import_module(MODULES[package]).__version__),
        golden=done,
        latencies=latencies,
        failure=None if error is None else str(error),
        refused=isinstance(error, GateError),
    )


def measure_latency(backend: Backend, golden: GoldenVectors, limit_s: float = LIMIT_S) -> tuple[Latency, ...]:
    """Time all batch sizes up to the model's largest, on the golden images over and over.

    Raises
    ------
    GateError
        If the last answer of a batch size is not that of the golden vectors.
    """
    found = []
    for size in (size for size in BATCH_SIZES if size <= backend.contract.max_batch_size):
        picks = np.arange(size) % len(golden.images)
        batch = {name: np.ascontiguousarray(images[picks]) for name, images in golden.inputs().items()}
        for _ in range(WARM_UPS):
            backend.infer(batch)
        times: list[float] = []
        while not times or (len(times) < REPEATS and sum(times) < limit_s):
            started = time.perf_counter()
            scores, _ = backend.infer(batch)
            times.append(time.perf_counter() - started)
        if not np.allclose(scores, golden.scores[picks], rtol=golden.limit, atol=0):
            raise GateError(f"{backend.contract.name} answers a batch of {size} otherwise than its images one by one")
        median, p95 = (float(value) * 1e3 for value in np.quantile(times, (0.5, 0.95)))
        found.append(Latency(size, len(times), median, p95, size / median * 1e3))
    return tuple(found)
