"""The plot of a release: time an image side by side, and what lower precision changes."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fcdd_benchmarks.report.estimate import NamedEstimate
from release_benchmark.figures import ACCURACY, Results

HASH_KEY = "figures"
"""Text chunk of the PNG file with the hash of what it shows."""
LEAST_SPAN = 0.01
"""Half of the axis of changes at least: smaller ones shall look small."""
OURS, OTHERS, REFUSED = "#0b5cad", "#9fb3c4", "#d1495b"


@dataclass(frozen=True)
class Shown:
    """All that the plot shows."""

    batch: int
    ms: dict[str, float]
    """A contender's median time an image."""
    changes: tuple[NamedEstimate, ...]
    """Paired, of an ROC AUC against FP32's."""
    refused: tuple[str, ...]
    """Those changes whose model the export's gate refuses."""

    def sha256(self) -> str:
        """Return what tells whether a plot is of the same figures."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


def shown(results: Results) -> Shown | None:
    """Return what the plot of the results shows; None if the VGG network was not compared."""
    compare = results.compare
    if compare is None:
        return None
    batch, refused = compare.options.batch, []
    ms = {result.name: result.timing.median_ms.value / batch for result in compare.contenders if result.timing}
    changes = []
    for folder, report in results.accuracy.items():
        for model in report.models[1:]:
            name = f"{ACCURACY[folder]}: {model.precision.upper()}"
            changes += [change.named(name) for change in model.changes if change.name == "ROC AUC"]
            refused += [name] if model.notes else []
    return Shown(batch, ms, tuple(changes), tuple(refused))


def plot_of(shown: Shown) -> bytes:
    """Draw; return a PNG file's contents."""
    figure = Figure(figsize=(11, 0.9 + 0.36 * max(len(shown.ms), len(shown.changes))), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_times(left, shown)
    _draw_changes(right, shown)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={HASH_KEY: shown.sha256()})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _draw_times(axes: Axes, shown: Shown) -> None:
    bars = sorted(shown.ms.items(), key=lambda bar: bar[1])
    colours = [OURS if name.startswith("fcdd-edge") else OTHERS for name, _ in bars]
    drawn = axes.barh(range(len(bars)), [ms for _, ms in bars], color=colours)
    axes.bar_label(drawn, [f" {ms:.1f}" for _, ms in bars])
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("ms an image")
    axes.set_title(f"VGG11 trunk, batch {shown.batch}, this CPU", loc="left", fontsize=11)


def _draw_changes(axes: Axes, shown: Shown) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    for place, change in enumerate(shown.changes):
        refused = change.name in shown.refused
        colour = REFUSED if refused else OURS
        axes.plot([change.low, change.high], [place, place], color=colour, linewidth=2)
        axes.plot([change.value], [place], "o", color=colour, markerfacecolor="white" if refused else colour)
    axes.set_yticks(range(len(shown.changes)), [change.name for change in shown.changes])
    axes.set_ylim(len(shown.changes) - 0.5, -0.5)
    widest = max([LEAST_SPAN, *(max(-change.low, change.high) for change in shown.changes)])
    axes.set_xlim(-1.1 * widest, 1.1 * widest)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("paired change of ROC AUC, 95 % interval", loc="right")
    note = " (red: refused by the export's gate)" if shown.refused else ""
    axes.set_title(f"Change from FP32{note}", loc="right", fontsize=11)
