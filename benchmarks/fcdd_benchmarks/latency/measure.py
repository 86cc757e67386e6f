"""Latency and throughput of exported models: closed loops, Poisson arrivals, and the rate that a p99 allows."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_benchmarks.latency.loops import closed_loop, open_loop, poisson_arrivals, warm_up
from fcdd_benchmarks.latency.rate_search import highest_rate
from fcdd_benchmarks.latency.report import LatencyOptions, LatencyReport, OpenPoint, Point, RateLimit
from fcdd_benchmarks.report.estimate import Metric
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.timing.summary import TimingSummary, fewest_samples, summary_of
from fcdd_benchmarks.timing.timed_model import TimedModel, opened_folder, opened_url
from fcdd_benchmarks.timing.triton_split import TritonStatistics, client_ms, split_of
from fcdd_runtime.errors import BackendError

PACKAGES = ("fcdd-edge", "numpy", "onnxruntime", "tritonclient", "nvidia-pytriton")
OPEN_SAMPLES = 2 * fewest_samples(99)
"""Requests of an open loop at least, so that its p99 is not its slowest request alone."""
PATIENCE = 10
"""Times the limit on p99 that a request may wait before a rate counts as too high; without a limit, times the mean time
of a single request."""
SEARCH_S = 60.0
"""For which runs of a search for the highest rate are started; ten times `seconds` where that is more."""
FEWEST_FOR_P99_METRIC = 400
"""Below, the upper end of its interval is the slowest sample, which lies under the true p99 too often."""


def measure_latency(folders: Sequence[Path], options: LatencyOptions, command: str) -> LatencyReport:
    """Run all loops on all models, one model after the other.

    Parameters
    ----------
    folders : of exported models, run in this process

    Raises
    ------
    BackendError, ContractError
        If there is no model, or one cannot be opened or run.
    GateError
        If a timed answer is wrong.
    """
    if not folders and not options.urls:
        raise BackendError("there is nothing to time; give --model MODEL_DIR or --url grpc://HOST:PORT/MODEL")
    models, points, open_loops, limits = [], list[Point](), list[OpenPoint](), list[RateLimit]()
    # Opened in turn, so that one takes no memory or threads while another is timed.
    for opened in (*map(opened_folder, folders), *map(opened_url, options.urls)):
        with opened as model:
            models.append(model.identity)
            closed = list(_closed_points(model, options))
            points += closed
            smallest, workers = min(point.batch for point in closed), max(options.concurrencies)
            wait_s = PATIENCE * (options.p99_limit_ms or closed[0].summary.mean_ms) / 1e3
            loops = _OpenLoops(model, smallest, workers, options.seconds, wait_s)
            rates = [loops.point(rate) for rate in options.rates]
            open_loops += rates
            if options.p99_limit_ms is not None:
                same_batch = [point for point in closed if point.batch == smallest]
                limits.append(loops.limit(options.p99_limit_ms, same_batch, rates))
    return LatencyReport(
        title="Latency and throughput",
        command=command,
        machine=this_machine(PACKAGES),
        metrics=tuple(_metrics(points, open_loops)),
        options=options,
        models=tuple(models),
        points=tuple(points),
        open_loops=tuple(open_loops),
        rate_limits=tuple(limits),
    )


def _metrics(points: Sequence[Point], open_loops: Sequence[OpenPoint]) -> Iterator[Metric]:
    for point in points:
        yield from _time_metrics(point.where, point.summary)
        yield point.throughput.metric(f"{point.where}: images/s", "higher", "images/s")
    for loop in open_loops:
        if loop.summary is not None and not loop.gave_up:
            yield from _time_metrics(f"{loop.model}, batch {loop.batch}, {loop.rate:g} requests/s", loop.summary)


def _time_metrics(where: str, summary: TimingSummary) -> Iterator[Metric]:
    yield summary.p50.metric(f"{where}: p50", "lower", "ms")
    if summary.p99 is not None and summary.samples >= FEWEST_FOR_P99_METRIC:
        yield summary.p99.metric(f"{where}: p99", "lower", "ms")


def _closed_points(model: TimedModel, options: LatencyOptions) -> Iterator[Point]:
    largest, label = model.backend.contract.max_batch_size, model.identity.label
    batches = [batch for batch in options.batches if batch <= largest]
    if not batches:
        raise BackendError(f"{label} takes batches of at most {largest}; give a smaller --batch")
    for batch in batches:
        for concurrency in options.concurrencies:
            request, split = model.request(batch), None
            warm = warm_up(request, concurrency, options.seconds)
            if model.url is None:
                run = closed_loop(request, concurrency, options.seconds)
            else:
                with contextlib.closing(TritonStatistics(model.url)) as statistics:
                    before = statistics.settled()
                    run = closed_loop(request, concurrency, options.seconds)
                    counted = statistics.since(before, len(run.answers))
                packing_ms = client_ms(model.batch(batch), model.backend.contract)
                split = split_of(float(np.mean(run.times_ms)), counted, packing_ms)
            model.check(run.answers, batch)
            images = run.requests_per_second.scaled(batch)
            yield Point(label, batch, concurrency, summary_of(run.times_ms), images.value, images, warm, split)


@dataclass(frozen=True)
class _OpenLoops:
    """Open loops of one model and batch size."""

    model: TimedModel
    batch: int
    workers: int
    seconds: float
    longest_wait_s: float

    def requests(self, rate: float) -> int:
        """Return how many requests a run of a rate sends."""
        return max(OPEN_SAMPLES, round(rate * self.seconds))

    def point(self, rate: float, p99_limit_ms: float = math.inf, seed: int = 0) -> OpenPoint:
        """Run one rate; with a limit on p99, only until it is certain to be exceeded."""
        arrivals = poisson_arrivals(rate, self.requests(rate), seed)
        run = open_loop(self.model.request(self.batch), arrivals, self.workers, self.longest_wait_s, p99_limit_ms)
        self.model.check(run.answers, self.batch)
        summary = summary_of(run.times_ms) if len(run.times_ms) >= 3 else None
        return OpenPoint(self.model.identity.label, self.batch, rate, summary, run.gave_up)

    def limit(self, p99_limit_ms: float, closed: Sequence[Point], rates: Sequence[OpenPoint]) -> RateLimit:
        """Look for the highest rate that keeps p99 below a limit.

        Parameters
        ----------
        closed : the closed loops of this batch size
        rates : open loops that were run before; the fastest that met the limit is where the search starts
        """
        known = max((point.rate for point in rates if point.keeps(p99_limit_ms)), default=0.0)
        tried: list[OpenPoint] = []
        deadline = time.monotonic() + max(SEARCH_S, 10 * self.seconds)

        def meets(rate: float) -> bool | None:
            # Only if it would end in time, but the first always; a second time with other arrivals if it fails, since
            # three late requests can be bad luck.
            if tried and time.monotonic() + self.requests(rate) / rate > deadline:
                return None
            for seed in (0, 1):
                tried.append(self.point(rate, p99_limit_ms, seed))
                if tried[-1].keeps(p99_limit_ms):
                    return True
            return False

        met, failed = None, None
        if known or not any(point.concurrency == 1 and point.summary.p50.value > p99_limit_ms for point in closed):
            guess = max(point.images_per_second for point in closed) / self.batch
            met, failed = highest_rate(meets, guess, known)
        return RateLimit(self.model.identity.label, self.batch, p99_limit_ms, met, failed, tuple(tried))
