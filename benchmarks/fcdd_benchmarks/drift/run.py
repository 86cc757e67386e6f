"""Two reports of one kind against each other: what got slower or less accurate by more than the noise."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fcdd_benchmarks.accuracy.drift import paired_changes
from fcdd_benchmarks.accuracy.statistics import Estimate
from fcdd_benchmarks.drift.lost import LostImages, lost_images
from fcdd_benchmarks.report.read import ReportError, WrittenReport, read_report
from fcdd_benchmarks.report.write import Metric
from fcdd_benchmarks.timing.summary import PERCENTILES

Verdict = Literal["worse", "better", "same", "gone", "not compared"]
LEAST_CHANGE = 1e-4
"""Change of a figure without a unit that is never called one: one step of the fourth and last decimal that reports
print. The same network on another processor or library differs in the last bits of its maps, which swaps a few pixels
that were nearly equal in every image; a paired interval of such a change has next to no width and never holds 0."""


@dataclass(frozen=True)
class DriftOptions:
    """What counts as worse."""

    slower_by: float
    """Share of the former figure that a figure with a unit may change by on top of the noise: machines differ from day
    to day by more than one run shows."""
    less_accurate_by: float
    """By how much a figure without a unit (0..1) may change on top of the noise; at least `LEAST_CHANGE`."""

    def allowed(self, metric: Metric) -> float:
        """Return by how much a figure may change on top of the noise, in its unit."""
        return self.slower_by * abs(metric.value) if metric.unit else max(self.less_accurate_by, LEAST_CHANGE)


@dataclass(frozen=True)
class Change:
    """What became of one figure."""

    metric: Metric
    """As it was."""
    new: float | None
    """None if the new report does not have it."""
    change: Estimate | None
    """New minus former, with its 95 % interval."""
    verdict: Verdict
    """`worse` or `better`: the whole interval lies beyond what is allowed; `gone`: nothing to compare with;
    `not compared`: measured again, but with too few samples for this figure."""


@dataclass(frozen=True)
class Drift:
    """All figures of two reports."""

    base: WrittenReport
    new: WrittenReport
    options: DriftOptions
    paired: bool
    """Whether both judged the same images, so that changes were resampled by image."""
    changes: tuple[Change, ...]
    lost: tuple[LostImages, ...]
    """For each model of two accuracy reports of the same images; empty for others."""

    @property
    def worse(self) -> list[str]:
        """What fails the gate: models that lost anomalous images, in words; names of figures worse or gone."""
        return [one.words for one in self.lost if one.lost] + self.worse_figures

    @property
    def worse_figures(self) -> list[str]:
        """Names of the figures that got worse or are gone."""
        return [change.metric.name for change in self.changes if change.verdict in ("worse", "gone")]


def find_drift(base: Path, new: Path, options: DriftOptions) -> Drift:
    """Compare two report.json files, or the folders with them.

    Raises
    ------
    ReportError
        If one cannot be read, they are of different kinds, or have no figure in common.
    """
    first, second = read_report(base), read_report(new)
    kinds = first.document["benchmark"], second.document["benchmark"]
    if kinds[0] != kinds[1]:
        raise ReportError(
            f"a report of {kinds[0]} and one of {kinds[1]} have no figures to compare; give two of a kind"
        )
    if not first.metrics.keys() & second.metrics.keys():
        raise ReportError("the two reports have no figure in common; give the same models and options")
    paired = paired_changes(first.document, second.document) if kinds[0] == "accuracy" else {}
    too_few = _too_few_samples(second.document)
    changes = tuple(
        _change(metric, second.metrics.get(name), paired.get(name), options, name in too_few)
        for name, metric in first.metrics.items()
    )
    lost = lost_images(first.document, second.document) if kinds[0] == "accuracy" else ()
    return Drift(first, second, options, bool(paired), changes, lost)


def _too_few_samples(document: dict[str, Any]) -> set[str]:
    """Name the percentiles of points that a latency report measured with too few samples for them."""
    points = document["points"] if document["benchmark"] == "latency" else ()
    return {
        f"{point['model']}, batch {point['batch']}, concurrency {point['concurrency']}: p{percent}"
        for point in points
        for percent in PERCENTILES
        if point["summary"] and point["summary"][f"p{percent}"] is None
    }


def _change(
    metric: Metric, new: Metric | None, paired: Estimate | None, options: DriftOptions, too_few: bool
) -> Change:
    if new is None:
        return Change(metric, None, None, "not compared" if too_few else "gone")
    change = paired or independent_change(metric, new)
    return Change(metric, new.value, change, _verdict(metric, change, options))


def independent_change(metric: Metric, new: Metric) -> Estimate:
    """Return the change with its interval from the intervals of two independent figures.

    The limits are those of Zou and Donner (Statistics in Medicine 27, 2008): each distance of a figure from its own
    limit that faces the change is squared, added, and the root taken.
    """
    change = new.value - metric.value
    low = change - math.hypot(new.value - new.low, metric.high - metric.value)
    high = change + math.hypot(new.high - new.value, metric.value - metric.low)
    return Estimate(metric.name, change, low, high)


def _verdict(metric: Metric, change: Estimate, options: DriftOptions) -> Verdict:
    allowed = options.allowed(metric)
    rising, falling = change.low > allowed, change.high < -allowed
    if not rising and not falling:
        return "same"
    return "better" if rising == (metric.better == "higher") else "worse"
