"""README's generated part: between two markers, from the committed reports."""

from pathlib import Path

from fcdd_runtime.errors import FcddError
from fcdd_runtime.files import replaced_file
from release_benchmark.headline import headline
from release_benchmark.headline_plot import plot_of, shown
from release_benchmark.setting import RESULTS

README, PLOT = Path("README.md"), Path("docs/benchmarks.png")
BEGIN, END = "<!-- figures, written by `make bench` from benchmarks/results -->", "<!-- end of figures -->"


def write_readme() -> None:
    """Write README.md's figures and the plot beside it, from the root of a checkout.

    Raises
    ------
    FcddError
        If README has no markers, or a report is damaged.
    """
    text = README.read_text(encoding="utf-8")
    figures = shown(RESULTS)
    if figures is not None:
        with replaced_file(PLOT) as path:
            path.write_bytes(plot_of(figures))
    with replaced_file(README) as path:
        path.write_text(with_figures(text, RESULTS), encoding="utf-8")


def with_figures(text: str, results: Path) -> str:
    """Return README's text with the figures of these results between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FcddError(f"README.md lacks {BEGIN} or {END}; put both back")
    plot = f"![Time an image, and what lower precision changes]({PLOT.as_posix()})\n\n" if shown(results) else ""
    return f"{before}{BEGIN}\n\n{plot}{headline(results)}\n\n{END}{after}"
