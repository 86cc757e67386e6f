"""The latency report as people see it."""

import dataclasses
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

from fcdd_benchmarks.latency.report import LatencyReport
from fcdd_benchmarks.report.page import Page, Plot, Section
from fcdd_benchmarks.report.plots import plot
from fcdd_benchmarks.timing.summary import NOISY, TimingSummary, noise_in_words
from fcdd_benchmarks.timing.timed_model import model_section

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
LINE_STYLES = ("-", "--", ":", "-.")


def latency_page(report: LatencyReport) -> Page:
    """Put everything into tables and plots."""
    lead = "Every answer that was timed was held against the model's golden vectors. "
    if noisy := sum(point.summary.noisy or not point.warm for point in report.points):
        lead += (
            f"The machine was too noisy at {noisy} of {len(report.points)} points, marked below: there the median "
            f"moved by more than {NOISY:.0%} from one third of the measurement to another, or did not settle while "
            "warming up. Measure those again on a quiet machine."
        )
    else:
        lead += f"The machine held still: medians moved by less than {NOISY:.0%} within every point."
    least = min(point.concurrency for point in report.points)
    latency = ((p.model, p.batch, p.summary.p50.value) for p in report.points if p.concurrency == least)
    throughput = ((f"{p.model}, batch {p.batch}", p.concurrency, p.images_per_second) for p in report.points)
    caption = f"Median time of a batch with {least} at a time; both axes logarithmic."
    rates = "Images a second by the number of requests under way; both axes logarithmic."
    plots = (
        _line_plot("Latency against batch size", caption, latency, ("images a batch", "median ms a batch")),
        _line_plot("Throughput against concurrency", rates, throughput, ("requests at a time", "images a second")),
    )
    return Page(lead, tuple(section for section in _sections(report) if section.rows), plots)


def _sections(report: LatencyReport) -> tuple[Section, ...]:
    figures = ("samples", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "mean ms", "max ms")
    where = ("model", "batch", "concurrency")
    closed, split, limits = [], [], []
    for point in report.points:
        place = (point.model, str(point.batch), str(point.concurrency))
        noise = noise_in_words(point.summary.spread) + ("" if point.warm else " not settled")
        closed.append((*place, *_figures(point.summary), f"{point.images_per_second:.1f}", noise))
        if point.split is not None:
            parts = (point.summary.mean_ms, *dataclasses.astuple(point.split))
            split.append((*place, *(f"{part:.2f}" for part in parts)))
    loops = tuple(
        (loop.model, str(loop.batch), f"{loop.rate:.1f}", *_figures(loop.summary), "no" if loop.gave_up else "yes")
        for loop in report.open_loops
    )
    for limit in report.rate_limits:
        bound = "at least " if limit.failed_rate is None else ""
        rate = "none" if limit.rate is None else f"{bound}{limit.rate:.1f}"
        failed = "no run failed" if limit.failed_rate is None else f"{limit.failed_rate:.1f}"
        found = (rate, failed if limit.tried else "not run", str(len(limit.tried)))
        limits.append((limit.model, str(limit.batch), f"{limit.p99_limit_ms:g}", *found))
    parts_ms = ("mean ms", "client", "gRPC and network", "queue", "input", "infer", "output")
    limit_headers = ("model", "batch", "limit on p99, ms", "requests/s", "failed at", "runs")
    return (
        Section("Closed loop", CLOSED_TEXT, (*where, *figures, "images/s", "noise"), tuple(closed)),
        Section("Where the time of a request goes", SPLIT_TEXT, (*where, *parts_ms), tuple(split)),
        Section("Open loop", OPEN_TEXT, ("model", "batch", "requests/s", *figures, "kept up"), loops),
        Section("Highest rate under a limit on p99", LIMIT_TEXT, limit_headers, tuple(limits)),
        model_section("Models", report.models),
    )


def _figures(summary: TimingSummary | None) -> tuple[str, ...]:
    if summary is None:
        return ("0", *("too few",) * 6)
    found = (summary.p50, summary.p90, summary.p95, summary.p99)
    percentiles = ("too few" if percentile is None else f"{percentile.value:.2f}" for percentile in found)
    return (str(summary.samples), *percentiles, f"{summary.mean_ms:.2f}", f"{summary.max_ms:.2f}")


def _line_plot(title: str, caption: str, values: Iterable[tuple[str, float, float]], names: tuple[str, str]) -> Plot:
    """Draw lines over powers of two, both axes logarithmic.

    Parameters
    ----------
    values : which line, x, y
    names : of the axes
    """
    lines: dict[str, list[tuple[float, float]]] = {}
    for label, x, y in values:
        lines.setdefault(label, []).append((x, y))

    def draw(axes: Axes) -> None:
        for index, (label, points) in enumerate(lines.items()):
            style = LINE_STYLES[index // 10 % len(LINE_STYLES)]
            axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=4, linestyle=style, label=label)
        ticks = sorted({x for points in lines.values() for x, _ in points})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter())
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=11)

    return plot(title, caption, draw)
