"""Plots for pages, as SVG: drawn without a display, the same bytes for the same figures."""

import io
from collections.abc import Callable, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.report.page import Plot

STYLE = {
    "svg.hashsalt": "fcdd",
    "svg.fonttype": "path",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plot(title: str, caption: str, draw: Callable[[Axes], None], size: tuple[float, float] = (8, 4.2)) -> Plot:
    """Return what `draw` draws on axes of so many inches, width and height."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure, buffer = Figure(figsize=size, layout="constrained"), io.BytesIO()
        draw(figure.add_subplot())
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Plot(title, buffer.getvalue(), caption)


def ratio_plot(title: str, ratios: Sequence[tuple[str, Estimate]], x_label: str) -> Plot:
    """Return a horizontal bar a ratio of times with its interval, from the top."""

    def draw(axes: Axes) -> None:
        values = [ratio.value for _, ratio in ratios]
        errors = [[ratio.value - ratio.low for _, ratio in ratios], [ratio.high - ratio.value for _, ratio in ratios]]
        bars = axes.barh(range(len(ratios)), values, xerr=errors, capsize=3, color="#4477aa")
        axes.bar_label(bars, [f" {value:.2f}" for value in values], padding=6)
        axes.set_yticks(range(len(ratios)), [name for name, _ in ratios])
        axes.invert_yaxis()
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel(x_label)
        axes.margins(x=0.15)

    caption = "Ratio of the median times, with 95 % bootstrap intervals; less is faster."
    return plot(title, caption, draw, (8, 1.2 + 0.45 * len(ratios)))
