"""What `make bench` writes for readers: docs/benchmarks.md, its plot, and README's one table between its markers."""

from pathlib import Path

from fcdd_runtime.errors import FcddError
from fcdd_runtime.files import replaced_file
from release_benchmark.figures import Results, all_figures, headline
from release_benchmark.plot import plot_of, shown
from release_benchmark.setting import RESULTS

README, BENCHMARKS, PLOT = Path("README.md"), Path("docs/benchmarks.md"), Path("docs/benchmarks.png")
BEGIN, END = "<!-- figures, written by `make bench` from benchmarks/results -->", "<!-- end of figures -->"


def write_pages() -> None:
    """Write all three from the committed reports, from the root of a checkout.

    Raises
    ------
    FcddError
        If README has no markers, or a report is damaged.
    """
    results = Results.read(RESULTS)
    readme = with_headline(README.read_text(encoding="utf-8"), results)
    figures = shown(results)
    if figures is not None:
        with replaced_file(PLOT) as path:
            path.write_bytes(plot_of(figures))
    for file, text in ((README, readme), (BENCHMARKS, benchmarks_page(results))):
        with replaced_file(file) as path:
            path.write_text(text, encoding="utf-8")


def with_headline(text: str, results: Results) -> str:
    """Return README's text with the headline of these results between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FcddError(f"README.md lacks {BEGIN} or {END}; put both back")
    return f"{before}{BEGIN}\n\n{headline(results)}\n\n{END}{after}"


def benchmarks_page(results: Results) -> str:
    """Return docs/benchmarks.md."""
    parts = [
        "# Figures",
        "Written by `make bench` from the reports in `benchmarks/results`; "
        "[benchmarks/README.md](../benchmarks/README.md) says how they are measured and what they do not say.",
    ]
    if shown(results) is not None:
        parts.append(f"![Time an image, and what lower precision changes]({PLOT.name})")
    link = "../benchmarks/results/{}/report.md".format
    return "\n\n".join([*parts, all_figures(results, link)]) + "\n"
