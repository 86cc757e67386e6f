"""Plots of the accuracy report: scores by class, and ROC curves. Drawn as SVG without a display."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from fcdd_benchmarks.accuracy.statistics import Answers
from fcdd_benchmarks.report.write import Plot
from fcdd_export.gate.roc import roc_curve
from fcdd_runtime.errors import MissingExtraError

COLOURS = ("#0b5cad", "#d1495b", "#2b8a3e", "#8f5bbd", "#b7791f", "#4a5568")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Lines that lie on each other stay distinguishable, also without colour."""
SETTINGS: dict[Any, Any] = {"svg.hashsalt": "fcdd", "svg.fonttype": "path", "font.size": 11, "axes.spines.top": False}
SETTINGS |= {"axes.spines.right": False}


def accuracy_plots(models: Mapping[str, Answers]) -> tuple[Plot, ...]:
    """Draw the plots of models by name, all on the same images.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "plots need matplotlib, which is not installed: pip install 'fcdd-edge[bench]'"
        ) from error
    with mpl.rc_context(SETTINGS):
        return _roc_plot(Figure, models), _box_plot(Figure, models)


def _roc_plot(figure_class: Any, models: Mapping[str, Answers]) -> Plot:
    figure, axes = _figure(figure_class)
    axes.plot([0, 1], [0, 1], color="#b8c2cc", linewidth=1)
    for index, (name, answers) in enumerate(models.items()):
        curve = roc_curve(answers.scores, answers.labels)
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": 2}
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=name, **style)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.grid(color="#e4e9ee")
    axes.legend(loc="lower right", frameon=False)
    caption = "Sensitivity against the share of normals that is flagged, at every threshold; the diagonal is chance."
    return Plot("ROC curves", _svg(figure), "svg", caption)


def _box_plot(figure_class: Any, models: Mapping[str, Answers]) -> Plot:
    figure, axes = _figure(figure_class)
    rng = np.random.default_rng(0)
    for index, answers in enumerate(models.values()):
        for side, chosen in enumerate((~answers.labels, answers.labels)):
            _box(axes, index + 0.36 * side - 0.18, answers.scores[chosen], COLOURS[side], rng)
    handles = [axes.plot([], [], "s", color=COLOURS[side], label=kind)[0] for side, kind in enumerate(_KINDS)]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1.1), ncols=2, frameon=False)
    axes.set_xticks(range(len(models)), models, rotation=12 if len(models) > 3 else 0)
    axes.set(ylabel="anomaly score", xlim=(-0.6, len(models) - 0.4))
    axes.grid(axis="y", color="#e4e9ee")
    caption = "Box: quartiles and median; whiskers: to the farthest image within 1.5 box heights; every dot an image."
    return Plot("Scores by class", _svg(figure), "svg", caption)


_KINDS = ("normal", "anomalous")


def _box(axes: Any, place: float, values: Any, colour: str, rng: np.random.Generator) -> None:
    lines = {"color": colour, "linewidth": 1.5}
    parts = {f"{part}props": lines for part in ("box", "whisker", "cap")} | {"medianprops": lines | {"linewidth": 3}}
    axes.boxplot([values], positions=[place], widths=0.3, showfliers=False, manage_ticks=False, **parts)
    across = place + rng.uniform(-0.1, 0.1, len(values))
    axes.plot(across, values, ".", color=colour, alpha=0.45, markersize=6, markeredgewidth=0, zorder=1)


def _figure(figure_class: Any) -> tuple[Any, Any]:
    figure = figure_class(figsize=(6.6, 5.2), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
