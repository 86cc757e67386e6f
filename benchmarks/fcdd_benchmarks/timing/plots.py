"""Plots of times, as PNG: drawn without a display."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from fcdd_benchmarks.timing.summary import Percentile

STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def line_plot(lines: Sequence[Line], x_label: str, y_label: str) -> bytes:
    """Draw lines over powers of two, both axes logarithmic; return a PNG file's contents."""

    def draw(axes: Axes) -> None:
        for index, line in enumerate(lines):
            style = STYLES[index // 10 % len(STYLES)]
            axes.plot(line.x, line.y, marker="o", markersize=4, linestyle=style, label=line.label)
        ticks = sorted({value for line in lines for value in line.x})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter())
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=11)

    return png_of(draw, 4.2)


def ratio_bars(names: Sequence[str], ratios: Sequence[Percentile], x_label: str) -> bytes:
    """Draw a horizontal bar a ratio with its interval, from the top; return a PNG file's contents."""

    def draw(axes: Axes) -> None:
        values = [ratio.value for ratio in ratios]
        errors = [[ratio.value - ratio.low for ratio in ratios], [ratio.high - ratio.value for ratio in ratios]]
        bars = axes.barh(range(len(names)), values, xerr=errors, capsize=3, color="#4477aa")
        axes.bar_label(bars, [f" {value:.2f}" for value in values], padding=6)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel(x_label)
        axes.margins(x=0.15)

    return png_of(draw, 1.2 + 0.45 * len(names))


def png_of(draw: Callable[[Axes], None], height: float) -> bytes:
    """Return the contents of a PNG file with what `draw` draws, `height` inches high."""
    figure = Figure(figsize=(8, height), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    buffer = io.BytesIO()
    canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
