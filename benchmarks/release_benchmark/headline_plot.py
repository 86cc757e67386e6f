"""README's plot from the reports of a release: time an image side by side, and what lower precision changes."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from release_benchmark.headline import ACCURACY, COMPARE, written

HASH_KEY = "figures"
"""Text chunk of the PNG file with the hash of what it shows."""
LEAST_SPAN = 0.01
"""Half of the axis of changes at least: smaller ones shall look small."""
OURS, OTHERS, REFUSED = "#0b5cad", "#9fb3c4", "#d1495b"


@dataclass(frozen=True)
class Bar:
    """A contender's median time."""

    name: str
    ms: float
    """An image."""


@dataclass(frozen=True)
class Change:
    """The paired change of an ROC AUC against FP32, with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    refused: bool
    """Whether the export's gate refuses the model."""


@dataclass(frozen=True)
class Shown:
    """All that the plot shows."""

    batch: int
    bars: tuple[Bar, ...]
    changes: tuple[Change, ...]

    def sha256(self) -> str:
        """Return what tells whether a plot is of the same figures."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


def shown(results: Path) -> Shown | None:
    """Return what the plot of the results shows; None if the VGG network was not compared."""
    compare = written(results, COMPARE)
    if compare is None:
        return None
    batch = compare.document["options"]["batch"]
    timed = [one for one in compare.document["contenders"] if one["timing"] is not None]
    bars = tuple(Bar(one["name"], one["timing"]["median_ms"]["value"] / batch) for one in timed)
    return Shown(batch, bars, tuple(change for name in ACCURACY for change in _changes(results, name)))


def plot_of(shown: Shown) -> bytes:
    """Draw; return a PNG file's contents."""
    figure = Figure(figsize=(11, 0.9 + 0.36 * max(len(shown.bars), len(shown.changes))), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_bars(left, shown)
    _draw_changes(right, shown.changes)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={HASH_KEY: shown.sha256()})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _changes(results: Path, name: str) -> list[Change]:
    report = written(results, name)
    found = []
    for model in [] if report is None else report.document["models"][1:]:
        [change] = [one for one in model["changes"] if one["name"] == "ROC AUC"]
        label = f"{ACCURACY[name]}: {model['precision'].upper()}"
        found.append(Change(label, change["value"], change["low"], change["high"], bool(model["notes"])))
    return found


def _draw_bars(axes: Axes, shown: Shown) -> None:
    bars = sorted(shown.bars, key=lambda bar: bar.ms)
    colours = [OURS if bar.name.startswith("fcdd-edge") else OTHERS for bar in bars]
    drawn = axes.barh(range(len(bars)), [bar.ms for bar in bars], color=colours)
    axes.bar_label(drawn, [f" {bar.ms:.1f}" for bar in bars])
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("ms an image")
    axes.set_title(f"VGG11 trunk, batch {shown.batch}, this CPU", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_changes(axes: Axes, changes: tuple[Change, ...]) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    for place, one in enumerate(changes):
        colour = REFUSED if one.refused else OURS
        axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
        axes.plot([one.value], [place], "o", color=colour, markerfacecolor="white" if one.refused else colour)
    axes.set_yticks(range(len(changes)), [one.name for one in changes])
    axes.set_ylim(len(changes) - 0.5, -0.5)
    widest = max([LEAST_SPAN, *(max(-one.low, one.high) for one in changes)])
    axes.set_xlim(-1.1 * widest, 1.1 * widest)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("paired change of ROC AUC, 95 % interval", loc="right")
    refused = " (red: refused by the export's gate)" if any(one.refused for one in changes) else ""
    axes.set_title(f"Change from FP32{refused}", loc="right", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
