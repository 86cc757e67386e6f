"""The drift of two reports as people see it."""

import dataclasses

from fcdd_benchmarks.accuracy.report import AccuracyReport
from fcdd_benchmarks.drift.accuracy_changes import EDGE
from fcdd_benchmarks.drift.report import LEAST_CHANGE, DriftReport
from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.page import Page, Section

ORDER = ("worse", "gone", "not compared", "better", "same")


def drift_page(drift: DriftReport, base: Report, new: Report) -> Page:
    """Put everything into tables; what got worse comes first."""
    lead = f"Before: {base.title} (report {drift.base_sha256[:12]}). Now: {new.title} (report {drift.new_sha256[:12]})."
    rows = []
    for change in sorted(drift.changes, key=lambda change: ORDER.index(change.verdict)):
        unit = f" {change.metric.unit}" if change.metric.unit else ""
        found = ("gone" if change.verdict == "gone" else "too few samples", "")
        if change.new is not None and change.change is not None:
            found = (f"{change.new:.4g}{unit}", change.change.text("+.2g"))
        rows.append((change.metric.name, f"{change.metric.value:.4g}{unit}", *found, change.verdict))
    headers = ("", "before", "now", "change (95 % interval)", "verdict")
    figures = Section("Figures", _rule(drift), headers, tuple(rows))
    return Page(lead, (*_lost(drift), figures, *_other_conditions(base, new)))


def _lost(drift: DriftReport) -> tuple[Section, ...]:
    if drift.of != "accuracy":
        return ()
    title = "Anomalous images no longer flagged"
    if not drift.lost_images:
        text = "Not counted: the reports are of other images or models, so nothing says whether any was lost."
        return (Section(title, text),)
    text = (
        "At the threshold that the base report proposes for each model by its own scores. An anomalous image that was "
        "flagged and is not any more may be a missed cancer: one is enough for the verdict worse, and newly flagged "
        "ones make up for none. One whose score changed by less than "
        f"{EDGE * 100:g} % lay at the edge, where rounding decides; it is listed, not counted. Images are numbered "
        "from 1 in the order of their sorted names, anomalous ones only, since reports hold no names."
    )
    rows = []
    for model in drift.lost_images:
        for what, images in (("lost", model.lost), ("at the edge", model.at_the_edge)):
            if images:
                places = (f"anomalous image {image.place} ({image.before:.6g} to {image.now:.6g})" for image in images)
                text += f" {model.model}, {what}: {', '.join(places)}."
        counts = (model.flagged, len(model.lost), len(model.at_the_edge), model.gained)
        rows.append((model.model, f"{model.threshold:.6g}", *map(str, counts), "worse" if model.lost else "same"))
    headers = ("", "threshold", "flagged before", "lost", "at the edge", "newly flagged", "verdict")
    return (Section(title, text, headers, tuple(rows)),)


def _rule(drift: DriftReport) -> str:
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


def _other_conditions(base: Report, new: Report) -> tuple[Section, ...]:
    """Name what differs in how the reports were made."""
    before, now = _conditions(base), _conditions(new)
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    rows = tuple((name, before.get(name, ""), now.get(name, "")) for name in names)
    text = "Figures can differ for these reasons alone."
    return (Section("Measured under other conditions", text, ("", "before", "now"), rows),) if rows else ()


def _conditions(report: Report) -> dict[str, str]:
    machine = report.machine
    found = {"processor": machine.processor, "cores": machine.cores, "python": machine.python, **machine.versions}
    found |= dataclasses.asdict(report).get("options", {})
    if isinstance(report, AccuracyReport):
        found["images"] = report.images.sha256[:12]
    return {name: str(value) for name, value in found.items()}
