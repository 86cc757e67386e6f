"""What `fcdd-bench latency` measured -> its report."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fcdd_benchmarks.latency.run import LatencyOptions, LatencyResult, OpenPoint, Point, RateLimit
from fcdd_benchmarks.report.write import Metric, Plot, Report, Section
from fcdd_benchmarks.timing.machine import machine_facts
from fcdd_benchmarks.timing.plots import Line, line_plot
from fcdd_benchmarks.timing.summary import NOISY, PERCENTILES, TimingSummary
from fcdd_benchmarks.timing.timed_model import IDENTITY_HEADERS

PACKAGES = ("fcdd-edge", "numpy", "onnxruntime", "tritonclient", "nvidia-pytriton")
TOO_FEW = "too few"
FEWEST_FOR_P99_METRIC = 400
"""Below, the upper end of its interval is the slowest sample, which lies under the true p99 too often."""
CLOSED_TEXT = (
    "From images in memory to checked scores and maps in memory. A closed loop sends the next request when one is "
    "answered. Images a second counts all requests that were answered while every thread was busy. A percentile needs "
    "10 (p90), 20 (p95) or 100 (p99) samples."
)
SPLIT_TEXT = (
    "Means, ms. Queue, input, infer and output are Triton's own statistics of these requests; the client's share is "
    "measured without a server; gRPC and network are what remains. With Triton's Python backend, infer includes the "
    "way to its process."
)
OPEN_TEXT = (
    "Requests arrive by a Poisson process whether or not the former ones are answered; times run from arrival to "
    "answer, waiting included. The first come is the first served, by as many threads as the largest concurrency."
)
LIMIT_TEXT = (
    "Found by bisection over open loops, to 5 % or as far as the time goes: about a minute, or ten times --seconds. A "
    "run ends early once its p99 is certain to exceed the limit, and a rate fails if two runs of it fail. None, "
    "without a run, where half of single requests already take longer."
)


def latency_report(options: LatencyOptions, result: LatencyResult, command: str) -> Report:
    """Put figures, plots and what they were measured on together."""
    return Report(
        benchmark="latency",
        title="Latency and throughput",
        lead=_lead(result),
        command=command,
        machine=machine_facts(PACKAGES),
        sections=tuple(section for section in _sections(result) if section.rows),
        plots=_plots(result.points),
        metrics=(
            *(metric for point in result.points for metric in _closed_metrics(point)),
            *(metric for point in result.open_points for metric in _open_metrics(point)),
        ),
        document={
            "options": _plain(options),
            "models": [dataclasses.asdict(model) for model in result.models],
            "points": [_document(point) for point in result.points],
            "open_loops": [_document(point) for point in result.open_points],
            "rate_limits": [
                _document(limit) | {"tried": [_document(point) for point in limit.tried]} for limit in result.limits
            ],
        },
    )


def _lead(result: LatencyResult) -> str:
    noisy = sum(point.summary.noisy or not point.warm for point in result.points)
    checked = "Every answer that was timed was held against the model's golden vectors."
    if not noisy:
        return f"{checked} The machine held still: medians moved by less than {NOISY:.0%} within every point."
    return (
        f"{checked} The machine was too noisy at {noisy} of {len(result.points)} points, marked below: there the "
        f"median moved by more than {NOISY:.0%} from one third of the measurement to another, or did not settle while "
        "warming up. Measure those again on a quiet machine."
    )


def _sections(result: LatencyResult) -> tuple[Section, ...]:
    figures = (*(f"p{percent} ms" for percent in PERCENTILES), "mean ms", "max ms")
    where = ("model", "batch", "concurrency")
    split = ("client", "gRPC and network", "queue", "input", "infer", "output")
    return (
        Section(
            "Closed loop",
            CLOSED_TEXT,
            (*where, "samples", *figures, "images/s", "noise"),
            tuple(_closed_row(point) for point in result.points),
        ),
        Section(
            "Where the time of a request goes",
            SPLIT_TEXT,
            (*where, "mean ms", *split),
            tuple(_split_row(point) for point in result.points if point.split is not None),
        ),
        Section(
            "Open loop",
            OPEN_TEXT,
            ("model", "batch", "requests/s", "samples", *figures, "kept up"),
            tuple(_open_row(point) for point in result.open_points),
        ),
        Section(
            "Highest rate under a limit on p99",
            LIMIT_TEXT,
            ("model", "batch", "limit on p99, ms", "requests/s", "failed at", "runs"),
            tuple(_limit_row(limit) for limit in result.limits),
        ),
        Section("Models", "", IDENTITY_HEADERS, tuple(model.row() for model in result.models)),
    )


def _closed_row(point: Point) -> tuple[str, ...]:
    noise = f"{point.summary.spread:.0%}" + (" noisy" if point.summary.noisy else "")
    return (
        *_where(point),
        str(point.summary.samples),
        *_figures(point.summary),
        f"{point.images_per_second:.1f}",
        noise + ("" if point.warm else " not settled"),
    )


def _split_row(point: Point) -> tuple[str, ...]:
    parts = () if point.split is None else dataclasses.astuple(point.split)
    return (*_where(point), f"{point.summary.mean_ms:.2f}", *(f"{part:.2f}" for part in parts))


def _open_row(point: OpenPoint) -> tuple[str, ...]:
    empty = ("0", *(TOO_FEW,) * (len(PERCENTILES) + 2))
    found = empty if point.summary is None else (str(point.summary.samples), *_figures(point.summary))
    return (point.model, str(point.batch), f"{point.rate:.1f}", *found, "no" if point.gave_up else "yes")


def _limit_row(limit: RateLimit) -> tuple[str, ...]:
    rate = "none" if limit.rate is None else f"{limit.rate:.1f}"
    if limit.rate is not None and limit.failed_rate is None:
        rate = f"at least {rate}"
    failed = "no run failed" if limit.failed_rate is None else f"{limit.failed_rate:.1f}"
    failed = failed if limit.tried else "not run"
    return (limit.model, str(limit.batch), f"{limit.p99_limit_ms:g}", rate, failed, str(len(limit.tried)))


def _where(point: Point) -> tuple[str, str, str]:
    return point.model, str(point.batch), str(point.concurrency)


def _figures(summary: TimingSummary) -> tuple[str, ...]:
    percentiles = [summary.percentiles[percent] for percent in PERCENTILES]
    texts = [TOO_FEW if one is None else f"{one.value:.2f}" for one in percentiles]
    return (*texts, f"{summary.mean_ms:.2f}", f"{summary.max_ms:.2f}")


def _closed_metrics(point: Point) -> list[Metric]:
    where = f"{point.model}, batch {point.batch}, concurrency {point.concurrency}"
    rate = point.throughput
    return [
        *_time_metrics(where, point.summary),
        Metric(f"{where}: images/s", rate.value, rate.low, rate.high, "higher", "images/s"),
    ]


def _open_metrics(point: OpenPoint) -> list[Metric]:
    if point.summary is None or point.gave_up:
        return []
    return _time_metrics(f"{point.model}, batch {point.batch}, {point.rate:g} requests/s", point.summary)


def _time_metrics(where: str, summary: TimingSummary) -> list[Metric]:
    """Return the median, and p99 where there are enough samples for an interval that holds it."""
    percents = (50, 99) if summary.samples >= FEWEST_FOR_P99_METRIC else (50,)
    return [
        Metric(f"{where}: p{percent}", found.value, found.low, found.high, "lower", "ms")
        for percent in percents
        if (found := summary.percentiles[percent]) is not None
    ]


def _plots(points: Sequence[Point]) -> tuple[Plot, ...]:
    least = min(point.concurrency for point in points)
    latency = _lines([one for one in points if one.concurrency == least], _by_batch, _p50)
    throughput = _lines(points, _by_concurrency, lambda point: point.images_per_second)
    return (
        Plot(
            "Latency against batch size",
            line_plot(latency, "images a batch", "median ms a batch"),
            "png",
            f"Median time of a batch with {least} at a time; both axes logarithmic.",
        ),
        Plot(
            "Throughput against concurrency",
            line_plot(throughput, "requests at a time", "images a second"),
            "png",
            "Images a second by the number of requests under way; both axes logarithmic.",
        ),
    )


def _lines(
    points: Sequence[Point], place: Callable[[Point], tuple[str, float]], y: Callable[[Point], float]
) -> list[Line]:
    found: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        label, x = place(point)
        found.setdefault(label, []).append((x, y(point)))
    return [
        Line(label, tuple(x for x, _ in sorted(pairs)), tuple(value for _, value in sorted(pairs)))
        for label, pairs in found.items()
    ]


def _by_batch(point: Point) -> tuple[str, float]:
    return point.model, point.batch


def _by_concurrency(point: Point) -> tuple[str, float]:
    return f"{point.model}, batch {point.batch}", point.concurrency


def _p50(point: Point) -> float:
    return point.summary.p50.value


def _document(record: Point | OpenPoint | RateLimit) -> dict[str, Any]:
    document = dataclasses.asdict(record)
    summary = getattr(record, "summary", None)
    if summary is not None:
        found = {f"p{percent}": values for percent, values in document["summary"].pop("percentiles").items()}
        document["summary"] |= found | {"noisy": summary.noisy}
    return document


def _plain(options: LatencyOptions) -> dict[str, Any]:
    return dataclasses.asdict(options) | {"models": [folder.name for folder in options.models]}
