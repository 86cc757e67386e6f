"""Closed and open loops of requests: who asks again when answered, and who asks when it is time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.timing.summary import Times, rate_interval

A = TypeVar("A")
R = TypeVar("R")
Request = Callable[[], A]

FEWEST_SAMPLES = 9
"""Three in every third of a closed loop, however slow the model."""
WARM_UP_ROUNDS = 6
WARM = 0.05
"""Change of the median from one round of warm-up to the next, below which a model counts as warm."""


@dataclass(frozen=True)
class LoopRun(Generic[A]):
    """What a loop measured."""

    times_ms: Times
    """In the order of completion, while all threads were busy."""
    requests_per_second: Estimate
    """With its 95 % interval."""
    answers: list[A]
    """All of them, for checking: also those that came when some threads had ended."""


@dataclass(frozen=True)
class OpenRun(Generic[A]):
    """What came of requests that arrive whether or not the former ones are answered."""

    times_ms: Times
    """From when a request arrived, waiting included, to its answer; in the order of arrival."""
    gave_up: bool
    """Whether the rest was not sent, because requests waited too long or too many were late."""
    answers: list[A]


@dataclass(frozen=True)
class _Call(Generic[A]):
    started: float
    ended: float
    answer: A

    @property
    def taken_ms(self) -> float:
        return (self.ended - self.started) * 1e3


def warm_up(request: Request[A], concurrency: int, seconds: float) -> bool:
    """Run short closed loops until the median holds still, six more at most; say whether it did."""
    former: float | None = None
    for _ in range(WARM_UP_ROUNDS + 1):
        median = float(np.median(closed_loop(request, concurrency, seconds / 10).times_ms))
        if former is not None and abs(median - former) <= WARM * former:
            return True
        former = median
    return False


def closed_loop(request: Request[A], concurrency: int, seconds: float) -> LoopRun[A]:
    """Keep `concurrency` requests under way for so many seconds, and for at least nine requests.

    Only what was answered before the first thread ended counts, since the others then had the machine to themselves.
    """
    barrier = threading.Barrier(concurrency)
    fewest = -(-FEWEST_SAMPLES // concurrency)

    def asking() -> list[_Call[A]]:
        barrier.wait()
        end, calls = time.perf_counter() + seconds, list[_Call[A]]()
        while len(calls) < fewest or time.perf_counter() < end:
            started = time.perf_counter()
            answer = request()
            calls.append(_Call(started, time.perf_counter(), answer))
        return calls

    threads = _in_threads(asking, concurrency)
    calls = sorted((call for thread in threads for call in thread), key=lambda call: call.ended)
    all_busy_until = min(thread[-1].ended for thread in threads)
    counted = [call for call in calls if call.ended <= all_busy_until]
    # One thread may have answered its share while another was at its first request.
    counted = counted if len(counted) >= 3 else calls
    rate = rate_interval(np.array([call.ended for call in counted]), min(call.started for call in calls))
    return LoopRun(np.array([call.taken_ms for call in counted]), rate, [call.answer for call in calls])


def poisson_arrivals(rate: float, count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return when requests arrive, seconds from the start, float64 (count,): independently, `rate` a second.

    The same seed gives the same pattern at every rate, only faster or slower.
    """
    return np.random.default_rng(seed).exponential(1.0, count).cumsum() / rate


def late_allowed(count: int) -> int:
    """Return how many of `count` requests may be late; with one more, their p99 exceeds the limit for certain.

    The p99 of NumPy lies between the sorted times floor(0.99 (count - 1)) and the next: 2 of 200 may be late.
    """
    return count - 1 - 99 * (count - 1) // 100


def open_loop(
    request: Request[A],
    arrivals: npt.NDArray[np.float64],
    workers: int,
    longest_wait_s: float,
    p99_limit_ms: float = np.inf,
) -> OpenRun[A]:
    """Send requests when they arrive, first come first served, at most `workers` at a time.

    A request's time starts when it was due, so that a slow answer also counts against those who waited behind it. It
    ends as soon as so many requests took longer than a limit that their p99 is certain to exceed it.
    """
    origin, lock, pending = time.perf_counter() + 0.01, threading.Lock(), iter(range(len(arrivals)))
    calls: dict[int, _Call[A]] = {}
    gave_up, late = threading.Event(), list[int]()

    def working() -> None:
        while not gave_up.is_set():
            with lock:
                index = next(pending, None)
            if index is None:
                return
            due = origin + arrivals[index]
            time.sleep(max(due - time.perf_counter(), 0))
            if time.perf_counter() - due > longest_wait_s:
                gave_up.set()
                return
            answer = request()
            calls[index] = _Call(due, time.perf_counter(), answer)
            if calls[index].taken_ms > p99_limit_ms:
                late.append(index)
                if len(late) > late_allowed(len(arrivals)):
                    gave_up.set()

    _in_threads(working, workers)
    done = [calls[index] for index in sorted(calls)]
    return OpenRun(np.array([call.taken_ms for call in done]), gave_up.is_set(), [call.answer for call in done])


def _in_threads(work: Callable[[], R], count: int) -> list[R]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(count)]]
