"""Drift between two reports, as a report."""

import dataclasses
from typing import Any

from fcdd_benchmarks.drift.lost import EDGE, ImageScores, LostImages
from fcdd_benchmarks.drift.run import LEAST_CHANGE, Change, Drift
from fcdd_benchmarks.report.write import Report, Section
from fcdd_benchmarks.timing.machine import machine_facts

LOST_HEADERS = ("", "threshold", "flagged before", "lost", "at the edge", "newly flagged", "verdict")
HEADERS = ("", "before", "now", "change (95 % interval)", "verdict")


def drift_report(drift: Drift, command: str) -> Report:
    """Put everything into a report; what got worse comes first."""
    order = ("worse", "gone", "not compared", "better", "same")
    rows = tuple(_row(change) for change in sorted(drift.changes, key=lambda one: order.index(one.verdict)))
    kind = drift.base.document["benchmark"]
    return Report(
        benchmark="drift",
        title=f"Drift of {kind}: {_count(drift)}",
        lead=_lead(drift),
        command=command,
        machine=machine_facts(("fcdd-edge", "numpy")),
        sections=(*_lost(drift), Section("Figures", _rule(drift), HEADERS, rows), *_different(drift)),
        plots=(),
        metrics=(),
        document=_document(drift),
    )


def _count(drift: Drift) -> str:
    worse = len(drift.worse_figures) or "none"
    figures = f"{worse} of {len(drift.changes)} figures got worse or {'is' if worse in (1, 'none') else 'are'} gone"
    skipped = sum(change.verdict == "not compared" for change in drift.changes)
    notes = [f"{skipped} not compared"] if skipped else []
    return "; ".join([*(one.words for one in drift.lost if one.lost), figures, *notes])


def _lead(drift: Drift) -> str:
    return (
        f"Before: {drift.base.document['title']} (report {drift.base.sha256[:12]}). "
        f"Now: {drift.new.document['title']} (report {drift.new.sha256[:12]})."
    )


def _lost(drift: Drift) -> tuple[Section, ...]:
    if drift.base.document["benchmark"] != "accuracy":
        return ()
    title = "Anomalous images no longer flagged"
    if not drift.lost:
        text = "Not counted: the reports are of other images or models, so nothing says whether any was lost."
        return (Section(title, text),)
    text = (
        "At the threshold that the base report proposes for each model by its own scores. An anomalous image that was "
        "flagged and is not any more may be a missed cancer: one is enough for the verdict worse, and newly flagged "
        "ones make up for none. One whose score changed by less than "
        f"{EDGE * 100:g} % lay at the edge, where rounding decides; it is listed, not counted. Images are numbered "
        "from 1 in the order of their sorted names, anomalous ones only, since reports hold no names."
    )
    named = [words for one in drift.lost for words in _named(one)]
    return (Section(title, " ".join([text, *named]), LOST_HEADERS, tuple(_lost_row(one) for one in drift.lost)),)


def _named(one: LostImages) -> list[str]:
    groups = (("lost", one.lost), ("at the edge", one.at_the_edge))
    return [f"{one.model}, {what}: {', '.join(map(_scores, images))}." for what, images in groups if images]


def _scores(image: ImageScores) -> str:
    return f"anomalous image {image.place} ({image.before:.6g} to {image.now:.6g})"


def _lost_row(one: LostImages) -> tuple[str, ...]:
    counts = (one.flagged, len(one.lost), len(one.at_the_edge), one.gained)
    return one.model, f"{one.threshold:.6g}", *map(str, counts), "worse" if one.lost else "same"


def _rule(drift: Drift) -> str:
    how = (
        "Both judged the same images, so the interval of a change is a paired bootstrap over them."
        if drift.paired
        else "The interval of a change follows from those of both figures, taken as independent."
    )
    options = drift.options
    return (
        f"{how} A figure is worse or better if the whole interval of its change lies beyond what is allowed: "
        f"{options.slower_by * 100:g} % of the former figure for those with a unit, "
        f"{max(options.less_accurate_by, LEAST_CHANGE):g} for the others (never less than {LEAST_CHANGE:g}, since the "
        "last bits of maps differ between processors). A figure that is gone counts as worse. One that the new report "
        "has too few samples for is not compared; measure for longer to compare it. Same means that it was not found "
        "worse, not that it was shown to be the same: an interval can be wide enough to hide a loss."
    )


def _row(change: Change) -> tuple[str, ...]:
    unit = f" {change.metric.unit}" if change.metric.unit else ""
    before = f"{change.metric.value:.4g}{unit}"
    if change.new is None or change.change is None:
        now = "gone" if change.verdict == "gone" else "too few samples"
        return change.metric.name, before, now, "", change.verdict
    interval = f"{change.change.value:+.2g} ({change.change.low:+.2g} to {change.change.high:+.2g})"
    return change.metric.name, before, f"{change.new:.4g}{unit}", interval, change.verdict


def _different(drift: Drift) -> tuple[Section, ...]:
    """Name what differs in how the reports were made: figures can differ for that reason alone."""
    base, new = (_conditions(one.document) for one in (drift.base, drift.new))
    rows = tuple(
        (name, base.get(name, ""), new.get(name, ""))
        for name in sorted(base.keys() | new.keys())
        if base.get(name) != new.get(name)
    )
    text = "Figures can differ for these reasons alone."
    return (Section("Measured under other conditions", text, ("", "before", "now"), rows),) if rows else ()


def _conditions(document: dict[str, Any]) -> dict[str, str]:
    machine = {name: document["machine"][name] for name in ("processor", "cores", "python")}
    found = machine | document["machine"]["versions"] | document.get("options", {})
    if document["benchmark"] == "accuracy":
        found["images"] = document["images"]["sha256"][:12]
    return {str(name): str(value) for name, value in found.items()}


def _document(drift: Drift) -> dict[str, Any]:
    return {
        "of": drift.base.document["benchmark"],
        "base_sha256": drift.base.sha256,
        "new_sha256": drift.new.sha256,
        "paired": drift.paired,
        "options": dataclasses.asdict(drift.options),
        "changes": [dataclasses.asdict(change) for change in drift.changes],
        "lost_images": [dataclasses.asdict(one) for one in drift.lost],
        "worse": drift.worse,
    }
