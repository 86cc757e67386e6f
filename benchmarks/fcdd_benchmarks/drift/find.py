"""Two reports of one kind against each other: what got slower or less accurate by more than the noise."""

import math

from fcdd_benchmarks.accuracy.report import AccuracyReport
from fcdd_benchmarks.drift.accuracy_changes import lost_images, paired_changes
from fcdd_benchmarks.drift.report import DriftOptions, DriftReport, FigureChange, LostImages, Verdict
from fcdd_benchmarks.kinds import WrittenReport
from fcdd_benchmarks.latency.report import LatencyReport
from fcdd_benchmarks.report.document import ReportError
from fcdd_benchmarks.report.estimate import Metric, NamedEstimate
from fcdd_benchmarks.report.machine import this_machine


def find_drift(base: WrittenReport, new: WrittenReport, options: DriftOptions, command: str) -> DriftReport:
    """Compare two reports.

    Raises
    ------
    ReportError
        If they are of different kinds, or have no figure in common.
    """
    before, now = base.report, new.report
    if before.benchmark != now.benchmark:
        raise ReportError(
            f"a report of {before.benchmark} and one of {now.benchmark} have no figures to compare; give two of a kind"
        )
    figures = {metric.name: metric for metric in now.metrics}
    if not any(metric.name in figures for metric in before.metrics):
        raise ReportError("the two reports have no figure in common; give the same models and options")
    paired: dict[str, NamedEstimate] = {}
    lost: tuple[LostImages, ...] = ()
    if isinstance(before, AccuracyReport) and isinstance(now, AccuracyReport):
        paired, lost = paired_changes(before, now), lost_images(before, now)
    too_few = {
        f"{point.where}: {percentile}"
        for point in (now.points if isinstance(now, LatencyReport) else ())
        for percentile in ("p90", "p95", "p99")
        if getattr(point.summary, percentile) is None
    }
    changes = tuple(
        _figure_change(metric, figures.get(metric.name), paired.get(metric.name), options, metric.name in too_few)
        for metric in before.metrics
    )
    worse_figures = [change.metric.name for change in changes if change.verdict in ("worse", "gone")]
    worse_models = [model.words for model in lost if model.lost]
    skipped = sum(change.verdict == "not compared" for change in changes)
    count = (
        f"{len(worse_figures) or 'none'} of {len(changes)} figures got worse or "
        f"{'is' if len(worse_figures) < 2 else 'are'} gone"
    )
    return DriftReport(
        title=f"Drift of {before.benchmark}: "
        + "; ".join([*worse_models, count, *([f"{skipped} not compared"] if skipped else [])]),
        command=command,
        machine=this_machine(("fcdd-edge", "numpy")),
        metrics=(),
        of=before.benchmark,
        base_sha256=base.sha256,
        new_sha256=new.sha256,
        paired=bool(paired),
        options=options,
        changes=changes,
        lost_images=lost,
        worse=(*worse_models, *worse_figures),
    )


def _figure_change(
    metric: Metric, new: Metric | None, paired: NamedEstimate | None, options: DriftOptions, too_few: bool
) -> FigureChange:
    if new is None:
        return FigureChange(metric, None, None, "not compared" if too_few else "gone")
    change = paired or independent_change(metric, new)
    allowed = options.allowed(metric)
    rising, falling = change.low > allowed, change.high < -allowed
    verdict: Verdict = "same"
    if rising or falling:
        verdict = "better" if rising == (metric.better == "higher") else "worse"
    return FigureChange(metric, new.value, change, verdict)


def independent_change(metric: Metric, new: Metric) -> NamedEstimate:
    """Return the change with its interval from the intervals of two independent figures.

    The limits are those of Zou and Donner (Statistics in Medicine 27, 2008): each distance of a figure from its own
    limit that faces the change is squared, added, and the root taken.
    """
    change = new.value - metric.value
    low = change - math.hypot(new.value - new.low, metric.high - metric.value)
    high = change + math.hypot(new.high - new.value, metric.value - metric.low)
    return NamedEstimate(change, low, high, metric.name)
