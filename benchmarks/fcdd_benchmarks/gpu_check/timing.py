"""Latency of a backend by batch size, with the answers that were timed checked."""

import time
from dataclasses import dataclass

import numpy as np

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.golden import GoldenVectors
from fcdd_runtime.errors import GateError

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


def measure_latency(backend: Backend, golden: GoldenVectors, limit_s: float = LIMIT_S) -> tuple[Latency, ...]:
    """Time all batch sizes up to the model's largest, on the golden images over and over.

    Raises
    ------
    GateError
        If the last answer of a batch size is not that of the golden vectors.
    """
    sizes = [size for size in BATCH_SIZES if size <= backend.contract.max_batch_size]
    return tuple(_latency(backend, golden, size, limit_s) for size in sizes)


def _latency(backend: Backend, golden: GoldenVectors, size: int, limit_s: float) -> Latency:
    picks = np.arange(size) % len(golden.images)
    batch = {name: np.ascontiguousarray(images[picks]) for name, images in golden.inputs().items()}
    for _ in range(WARM_UPS):
        scores, _ = backend.infer(batch)
    times: list[float] = []
    while not times or (len(times) < REPEATS and sum(times) < limit_s):
        started = time.perf_counter()
        scores, _ = backend.infer(batch)
        times.append(time.perf_counter() - started)
    if not np.allclose(scores, golden.scores[picks], rtol=golden.limit, atol=0):
        raise GateError(f"{backend.contract.name} answers a batch of {size} otherwise than its images one by one")
    median, p95 = (float(value) * 1e3 for value in np.quantile(times, (0.5, 0.95)))
    return Latency(size, len(times), median, p95, size / median * 1e3)
