"""Plots of stages, as PNG."""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes

from fcdd_benchmarks.timing.plots import png_of

MIN_SHARE = 0.07
"""Of the longest bar: a segment that is narrower bears no number."""


def stacked_bars(bars: Sequence[str], segments: Sequence[tuple[str, Sequence[float]]], x_label: str) -> bytes:
    """Draw one horizontal bar a name, divided into segments; return a PNG file's contents.

    Parameters
    ----------
    segments : name and one length a bar each, from left to right; the legend keeps that order
    """
    longest = max(sum(lengths[index] for _, lengths in segments) for index in range(len(bars)))

    def draw(axes: Axes) -> None:
        starts = [0.0] * len(bars)
        for index, (name, lengths) in enumerate(segments):
            color = colormaps["tab20"](index % 20)
            drawn = axes.barh(range(len(bars)), lengths, left=starts, label=name, color=color, edgecolor="white")
            labels = [
                f"{length:.{0 if length >= 10 else 1}f}" if length >= MIN_SHARE * longest else "" for length in lengths
            ]
            axes.bar_label(drawn, labels, label_type="center", fontsize=10)
            starts = [start + length for start, length in zip(starts, lengths, strict=True)]
        axes.set_yticks(range(len(bars)), bars, fontsize=12)
        axes.invert_yaxis()
        axes.set_xlabel(x_label, fontsize=12)
        axes.figure.legend(fontsize=10, ncols=4, loc="outside lower center", frameon=False)

    return png_of(draw, 2.2 + 0.45 * len(bars))
