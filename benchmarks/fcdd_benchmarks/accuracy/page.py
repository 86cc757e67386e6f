"""The accuracy report as people see it: tables with intervals, ROC curves, and scores by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fcdd_benchmarks.accuracy.operating_point import rates_at
from fcdd_benchmarks.accuracy.report import AccuracyReport
from fcdd_benchmarks.report.estimate import NamedEstimate
from fcdd_benchmarks.report.page import Page, Plot, Section
from fcdd_benchmarks.report.plots import plot
from fcdd_export.gate.roc import bootstrap_picks, roc_curve

COLOURS = ("#0b5cad", "#d1495b", "#2b8a3e", "#8f5bbd", "#b7791f", "#4a5568")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Lines that lie on each other stay distinguishable, also without colour."""


def accuracy_page(report: AccuracyReport) -> Page:
    """Put everything into tables and plots."""
    masks = sum(area is not None for area in report.models[0].pixel_aucs)
    unit = (
        "images, normals and anomalies apart, as if no two were of one patient"
        if report.images.groups is None
        else "whole groups, those with an anomaly apart from those without"
    )
    lead = (
        f"{report.images.counts()}, {masks} with a mask. In brackets: 95 % percentile interval of a bootstrap with "
        f"{report.options.resamples} resamples of {unit}; it says what other images of the same kind could have given, "
        "and nothing of images of another kind."
    )
    sections = (*_tables(report), _point_table(report))
    return Page(lead, sections, (_roc_plot(report), _box_plot(report)))


def _tables(report: AccuracyReport) -> list[Section]:
    first, *others = report.models
    tables = []
    if refused := [f"{model.name}: {'; '.join(model.notes)}." for model in report.models if model.notes]:
        text = (
            "The export's gate refuses these models. They were exported against its advice, and their figures are "
            "shown for information: an AUC that holds does not make thresholds and maps right."
        )
        tables.append(Section("Refused by the gate", " ".join([text, *refused])))
    text = (
        "ROC AUC and specificity are the same at every prevalence; precision is not, so it is given as the images are "
        "and weighted to the prevalence named. Pixelwise AUC is the mean over the images with a mask."
    )
    headers = ("", *(model.name for model in report.models))
    tables.append(Section("Accuracy", text, headers, _rows([model.estimates for model in report.models], ".4f")))
    if others:
        text = (
            "Paired: both models are resampled by the same images. An interval without 0 is a change that is more than "
            "chance among these images."
        )
        headers = ("", *(model.name for model in others))
        rows = _rows([model.changes for model in others], "+.4f")
        tables.append(Section(f"Change against {first.name}", text, headers, rows))
    return tables


def _rows(columns: Sequence[Sequence[NamedEstimate]], form: str) -> tuple[tuple[str, ...], ...]:
    rows = zip(*columns, strict=True)
    return tuple((row[0].name, *(estimate.text(form) for estimate in row)) for row in rows)


def _point_table(report: AccuracyReport) -> Section:
    point, images = report.operating_point, report.images
    picks = bootstrap_picks(images.truth(), images.group_numbers(), report.options.resamples)
    rows = []
    for model in report.models:
        rates = rates_at(model.answers(images), point.threshold.value, picks)
        rows.append((model.name, *(rate.text(".4f") for rate in rates)))
    held_out = "There are too few groups with an anomaly to choose it on some and judge it on others."
    if point.held_out is not None:
        sensitivity, specificity = point.held_out
        held_out = (
            f"Chosen on {point.folds - 1} of {point.folds} folds and judged on the one left out, in turn, with no "
            f"group in two folds: sensitivity {sensitivity:.4f}, specificity {specificity:.4f}."
        )
    text = (
        f"Threshold {point.threshold.value:.6g} (95 % interval {point.threshold.low:.6g} to "
        f"{point.threshold.high:.6g}): halfway between the score of {report.models[0].name} that reaches a sensitivity "
        f"of {point.wanted_sensitivity * 100:g} % on these images and the next lower one, so that rounding moves no "
        "image across it. The table judges it on the very images that it was chosen on, which flatters it. "
        f"{held_out}"
    )
    return Section("Proposed operating point", text, ("", "sensitivity", "specificity"), tuple(rows))


def _roc_plot(report: AccuracyReport) -> Plot:
    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#b8c2cc", linewidth=1)
        for index, model in enumerate(report.models):
            curve = roc_curve(np.array(model.scores), report.images.truth())
            style: dict[str, Any] = {
                "color": COLOURS[index % len(COLOURS)],
                "linestyle": DASHES[index % len(DASHES)],
                "linewidth": 2,
            }
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=model.name, **style)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.grid(color="#e4e9ee")
        axes.legend(loc="lower right", frameon=False)

    caption = "Sensitivity against the share of normals that is flagged, at every threshold; the diagonal is chance."
    return plot("ROC curves", caption, draw, (6.6, 5.2))


def _box_plot(report: AccuracyReport) -> Plot:
    labels, names = report.images.truth(), [model.name for model in report.models]

    def draw(axes: Axes) -> None:
        rng = np.random.default_rng(0)
        for index, model in enumerate(report.models):
            for side, chosen in enumerate((~labels, labels)):
                values, place = np.array(model.scores)[chosen], index + 0.36 * side - 0.18
                line: dict[str, Any] = {"color": COLOURS[side], "linewidth": 1.5}
                lines: dict[str, Any] = {f"{part}props": line for part in ("box", "whisker", "cap")}
                lines["medianprops"] = line | {"linewidth": 3}
                axes.boxplot([values], positions=[place], widths=0.3, showfliers=False, manage_ticks=False, **lines)
                across = place + rng.uniform(-0.1, 0.1, len(values))
                dots: dict[str, Any] = {"alpha": 0.45, "markersize": 6, "markeredgewidth": 0, "zorder": 1}
                axes.plot(across, values, ".", color=COLOURS[side], **dots)
        kinds = enumerate(("normal", "anomalous"))
        handles = [axes.plot([], [], "s", color=COLOURS[side], label=kind)[0] for side, kind in kinds]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1.1), ncols=2, frameon=False)
        axes.set_xticks(range(len(names)), names, rotation=12 if len(names) > 3 else 0)
        axes.set(ylabel="anomaly score", xlim=(-0.6, len(names) - 0.4))
        axes.grid(axis="y", color="#e4e9ee")

    caption = "Box: quartiles and median; whiskers: to the farthest image within 1.5 box heights; every dot an image."
    return plot("Scores by class", caption, draw, (6.6, 5.2))
