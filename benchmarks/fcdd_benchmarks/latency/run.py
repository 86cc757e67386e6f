"""Latency and throughput of exported models: closed loops, Poisson arrivals, and the rate that a p99 allows."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_benchmarks.latency.loops import LoopRun, closed_loop, late_allowance, open_loop, poisson_arrivals, warm_up
from fcdd_benchmarks.latency.rate_search import RateBracket, highest_rate
from fcdd_benchmarks.timing.summary import Percentile, TimingSummary, fewest_samples, summary_of
from fcdd_benchmarks.timing.timed_model import Answer, ModelIdentity, TimedModel, opened_folder, opened_url
from fcdd_benchmarks.timing.triton_split import Split, TritonStatistics, client_ms, split_of
from fcdd_runtime.errors import BackendError

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
CONCURRENCIES = (1, 2, 4, 8)
OPEN_SAMPLES = 2 * fewest_samples(99)
"""Requests of an open loop at least, so that its p99 is not its slowest request alone."""
PATIENCE = 10
"""Times the limit on p99 that a request may wait before a rate counts as too high; without a limit, times the mean time
of a single request."""
SEARCH_S = 60.0
"""For which runs of a search for the highest rate are started; ten times `seconds` where that is more."""


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
    throughput: Percentile
    """The same, with its 95 % interval."""
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
    """Requests a second; None: none was found."""
    failed_rate: float | None
    """The lowest rate that failed twice; None: none did, so that the highest is at least `rate`, or none was tried."""
    tried: tuple[OpenPoint, ...]


@dataclass(frozen=True)
class LatencyResult:
    """All that was measured."""

    models: tuple[ModelIdentity, ...]
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
    models: list[ModelIdentity] = []
    points: list[Point] = []
    open_points: list[OpenPoint] = []
    limits: list[RateLimit] = []
    for model in _opened(options):
        models.append(model.identity)
        closed = list(_closed_points(model, options))
        points += closed
        smallest, workers = min(point.batch for point in closed), max(options.concurrencies)
        wait_s = PATIENCE * (options.p99_limit_ms or closed[0].summary.mean_ms) / 1e3
        server = _OpenLoops(model, smallest, workers, options.seconds, wait_s)
        rates = [server.point(rate) for rate in options.rates]
        open_points += rates
        if options.p99_limit_ms is not None:
            limits.append(server.limit(options.p99_limit_ms, [one for one in closed if one.batch == smallest], rates))
    return LatencyResult(tuple(models), tuple(points), tuple(open_points), tuple(limits))


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
    rate = run.requests_per_second
    images = Percentile(rate.value * batch, rate.low * batch, rate.high * batch)
    return Point(model.label, batch, concurrency, summary_of(run.times_ms), images.value, images, warm, split)


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

    def point(self, rate: float, limit_ms: float | None = None, seed: int = 0) -> OpenPoint:
        """Run one rate; with a limit on p99, only until it is certain to be exceeded."""
        count = self._count(rate)
        arrivals = poisson_arrivals(rate, count, seed)
        allowance = None if limit_ms is None else late_allowance(count, limit_ms)
        run = open_loop(self.model.request(self.batch), arrivals, self.workers, self.longest_wait_s, allowance)
        self.model.check(run.answers, self.batch)
        summary = summary_of(run.times_ms) if len(run.times_ms) >= 3 else None
        return OpenPoint(self.model.label, self.batch, rate, summary, run.gave_up)

    def _count(self, rate: float) -> int:
        return max(OPEN_SAMPLES, round(rate * self.seconds))

    def limit(self, p99_limit_ms: float, closed: Sequence[Point], rates: Sequence[OpenPoint]) -> RateLimit:
        """Look for the highest rate that keeps p99 below a limit.

        Parameters
        ----------
        closed : the closed loops of this batch size
        rates : open loops that were run before; the fastest that met the limit is where the search starts
        """
        known = max((one.rate for one in rates if _p99_is_below(one, p99_limit_ms)), default=0.0)
        tried: list[OpenPoint] = []
        if not known and any(one.concurrency == 1 and one.summary.p50.value > p99_limit_ms for one in closed):
            bracket = RateBracket(None, None)
        else:
            guess = max(one.images_per_second for one in closed) / self.batch
            bracket = highest_rate(self._trial(p99_limit_ms, tried), guess, known)
        return RateLimit(self.model.label, self.batch, p99_limit_ms, bracket.met, bracket.failed, tuple(tried))

    def _trial(self, p99_limit_ms: float, tried: list[OpenPoint]) -> Callable[[float], bool | None]:
        """Return what runs a rate, a second time with other arrivals if it fails: three late requests can be bad luck.

        A rate is run only if it would end in time, but the first always.
        """
        deadline = time.monotonic() + max(SEARCH_S, 10 * self.seconds)

        def meets(rate: float) -> bool | None:
            if tried and time.monotonic() + self._count(rate) / rate > deadline:
                return None
            for seed in (0, 1):
                tried.append(self.point(rate, p99_limit_ms, seed))
                if _p99_is_below(tried[-1], p99_limit_ms):
                    return True
            return False

        return meets


def _p99_is_below(point: OpenPoint, limit_ms: float) -> bool:
    p99 = None if point.summary is None else point.summary.percentiles[99]
    return not point.gave_up and p99 is not None and p99.value <= limit_ms
