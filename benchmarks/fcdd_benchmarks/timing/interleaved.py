"""Contenders timed in turns, so that whatever slows the machine slows all of them."""

import time
from collections.abc import Callable, Mapping

import numpy as np

PAUSE_S = 0.01
"""Between contenders: worker threads of a runtime keep spinning for a moment after their work."""


def interleaved_ms(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time every call once a round, ms, by name.

    The order is drawn anew each round, and each call is made once untimed before it is timed, so that nobody finds the
    caches as another left them.
    """
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in rng.permutation(list(calls)):
            time.sleep(PAUSE_S)
            calls[name]()
            started = time.perf_counter()
            calls[name]()
            times[name].append((time.perf_counter() - started) * 1e3)
    return times
