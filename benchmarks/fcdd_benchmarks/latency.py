"""Latency and throughput of exported models: closed loops, Poisson arrivals, and the rate that a p99 allows."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_benchmarks.loops import LoopRun, closed_loop, open_loop, poisson_arrivals, warm_up
from fcdd_benchmarks.rate_search import highest_rate
from fcdd_benchmarks.timed_model import Answer, TimedModel, opened_folder, opened_url
from fcdd_benchmarks.timing_summary import TimingSummary, fewest_samples, summary_of
from fcdd_benchmarks.triton_split import Split, TritonStatistics, client_ms, split_of
from fcdd_runtime.errors import BackendError

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
CONCURRENCIES = (1, 2, 4, 8)
OPEN_SAMPLES = 2 * fewest_samples(99)
"""Requests of an open loop at least, so that its p99 is not its slowest request alone."""
PATIENCE = 10
"""Times the limit on p99 that a request may wait before a rate counts as too high; without a limit, times the mean time
of a single request."""


@dataclass(frozen=True)
class LatencyOptions:
    """What is run."""

    models: tuple[Path, ...]
    """Exported model folders, run in this process."""
    urls: tuple[str, ...]
    """Models on Triton servers, `grpc://HOST:PORT/MODEL`."""
    batches: tuple[int, ...]
    concurrencies: tuple[int, ...]
    """Requests under way at once."""
    seconds: float
    """Each point, after warming up."""
    rates: tuple[float, ...] = ()
    """Of open loops, requests of the smallest batch a second."""
    p99_limit_ms: float | None = None
    """The highest rate that keeps p99 below is looked for; None: it is not."""


@dataclass(frozen=True)
class Point:
    """One closed loop."""

    model: str
    batch: int
    concurrency: int
    summary: TimingSummary
    images_per_second: float
    warm: bool
    """Whether the median held still before the measurement."""
    split: Split | None
    """None for models in this process."""


@dataclass(frozen=True)
class OpenPoint:
    """One open loop."""

    model: str
    batch: int
    rate: float
    """Requests a second that were to arrive."""
    summary: TimingSummary | None
    """From arrival to answer; None where too few were answered before it was given up."""
    gave_up: bool
    """Whether requests piled up."""


@dataclass(frozen=True)
class RateLimit:
    """The highest rate that keeps p99 below a limit."""

    model: str
    batch: int
    p99_limit_ms: float
    rate: float | None
    """Requests a second; None: not even a fiftieth of what a closed loop reaches."""
    tried: tuple[OpenPoint, ...]


@dataclass(frozen=True)
class LatencyResult:
    """All that was measured."""

    points: tuple[Point, ...]
    open_points: tuple[OpenPoint, ...]
    limits: tuple[RateLimit, ...]


def measure_latency(options: LatencyOptions) -> LatencyResult:
    """Run all loops on all models, one model after the other.

    Raises
    ------
    BackendError, ContractError
        If there is no model, or one cannot be opened or run.
    GateError
        If a timed answer is wrong.
    """
    points: list[Point] = []
    open_points: list[OpenPoint] = []
    limits: list[RateLimit] = []
    for model in _opened(options):
        closed = list(_closed_points(model, options))
        points += closed
        smallest, workers = min(point.batch for point in closed), max(options.concurrencies)
        wait_s = PATIENCE * (options.p99_limit_ms or closed[0].summary.mean_ms) / 1e3
        server = _OpenLoops(model, smallest, workers, options.seconds, wait_s)
        open_points += [server.point(rate) for rate in options.rates]
        if options.p99_limit_ms is not None:
            fastest = max(point.images_per_second / smallest for point in closed if point.batch == smallest)
            limits.append(server.limit(options.p99_limit_ms, fastest))
    return LatencyResult(tuple(points), tuple(open_points), tuple(limits))


def _opened(options: LatencyOptions) -> Iterator[TimedModel]:
    """Open the models in turn, so that one takes no memory or threads while another is timed."""
    if not options.models and not options.urls:
        raise BackendError("there is nothing to time; give --model MODEL_DIR or --url grpc://HOST:PORT/MODEL")
    for folder in options.models:
        with opened_folder(folder) as model:
            yield model
    for url in options.urls:
        with opened_url(url) as model:
            yield model


def _closed_points(model: TimedModel, options: LatencyOptions) -> Iterator[Point]:
    largest = model.backend.contract.max_batch_size
    batches = [batch for batch in options.batches if batch <= largest]
    if not batches:
        raise BackendError(f"{model.label} takes batches of at most {largest}; give a smaller --batch")
    for batch in batches:
        for concurrency in options.concurrencies:
            yield _closed_point(model, batch, concurrency, options.seconds)


def _closed_point(model: TimedModel, batch: int, concurrency: int, seconds: float) -> Point:
    request = model.request(batch)
    warm = warm_up(request, concurrency, seconds)
    run, split = _loop_with_split(model, batch, lambda: closed_loop(request, concurrency, seconds))
    model.check(run.answers, batch)
    rate = run.requests_per_second * batch
    return Point(model.label, batch, concurrency, summary_of(run.times_ms), rate, warm, split)


def _loop_with_split(
    model: TimedModel, batch: int, loop: Callable[[], LoopRun[Answer]]
) -> tuple[LoopRun[Answer], Split | None]:
    """Run a loop between two readings of the server's statistics, where there is a server."""
    if model.url is None:
        return loop(), None
    with contextlib.closing(TritonStatistics(model.url)) as statistics:
        before = statistics.settled()
        run = loop()
        counted = statistics.since(before, len(run.answers))
    packing = client_ms(model.batch(batch), model.backend.contract)
    return run, split_of(float(np.mean(run.times_ms)), counted, packing)


@dataclass(frozen=True)
class _OpenLoops:
    """Open loops of one model and batch size."""

    model: TimedModel
    batch: int
    workers: int
    seconds: float
    longest_wait_s: float

    def point(self, rate: float) -> OpenPoint:
        """Run one rate."""
        count = max(OPEN_SAMPLES, round(rate * self.seconds))
        arrivals = poisson_arrivals(rate, count)
        run = open_loop(self.model.request(self.batch), arrivals, self.workers, self.longest_wait_s)
        self.model.check(run.answers, self.batch)
        summary = summary_of(run.times_ms) if len(run.times_ms) >= 3 else None
        return OpenPoint(self.model.label, self.batch, rate, summary, run.gave_up)

    def limit(self, p99_limit_ms: float, guess: float) -> RateLimit:
        """Look for the highest rate that keeps p99 below a limit."""
        tried: list[OpenPoint] = []

        def meets(rate: float) -> bool:
            tried.append(self.point(rate))
            return _p99_is_below(tried[-1], p99_limit_ms)

        rate = highest_rate(meets, guess)
        return RateLimit(self.model.label, self.batch, p99_limit_ms, rate, tuple(tried))


def _p99_is_below(point: OpenPoint, limit_ms: float) -> bool:
    p99 = None if point.summary is None else point.summary.percentiles[99]
    return not point.gave_up and p99 is not None and p99.value <= limit_ms
