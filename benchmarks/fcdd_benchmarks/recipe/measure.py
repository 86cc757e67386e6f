"""Studies and a site's images -> the recipe that comes nearest, and how near."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fcdd_benchmarks.recipe.pairs import SiteImage, find_pairs
from fcdd_benchmarks.recipe.report import MIN_CORRELATION, Alternative, RecipeReport, Similarity, WorstImage, shown
from fcdd_benchmarks.recipe.search import EVEN, SEARCHED, Search
from fcdd_benchmarks.recipe.similarity import Candidate, SiteStudy, mean_of
from fcdd_benchmarks.report.document import ReportError, images_sha256
from fcdd_benchmarks.report.estimate import Estimate, Metric
from fcdd_benchmarks.report.machine import this_machine
from fcdd_export.networks.recipe import recipe_text
from fcdd_runtime.errors import GateError
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.study.read import read_studies

PACKAGES = ("fcdd-edge", "numpy", "pillow", "pydicom")
CHOICES = ("post_contrast_phase", "crop", "air", "mirror_left", "scaling")
"""What is one or the other; margins and windows are near or far."""
SHOWN = 4
"""Images whose differences are shown."""


@dataclasses.dataclass(frozen=True)
class Compared:
    """One of the site's images beside ours."""

    number: int
    """From 1, in the order of names."""
    theirs: GreyImage
    ours: GreyImage
    similarity: Similarity


def measure_recipe(
    studies: Path, images: Path, table: Path | None, command: str
) -> tuple[RecipeReport, tuple[Compared, ...]]:
    """Find the recipe, and compare what it makes with all images.

    Returns
    -------
    report
    worst : the images that it comes least near to, the worst first

    Raises
    ------
    ReportError, ImageError, StudyError
        If images and studies cannot be read or paired.
    GateError
        If no recipe makes images that are like the site's.
    """
    pairs = find_pairs(studies, images, table)
    numbers = {pair.name: number for number, pair in enumerate(sorted(pairs, key=lambda pair: pair.name), 1)}
    site = _site_studies(pairs)
    searched = site[:: max(1, len(site) // SEARCHED)][:SEARCHED]
    search = Search(searched)
    best = search.find()
    compared = [
        Compared(numbers[image.name], image.pixels, *study.best_image(best, image))
        for study in site
        for image in study.images
    ]
    others = search.alternatives(best)
    alternatives = tuple(
        _alternative(name, other, search.similarity(other)) for name, found in others.items() for other in found
    )
    nearest = search.similarity(best)
    undecided = tuple(
        name
        for name, found in others.items()
        if name in CHOICES and any(search.similarity(other).difference < nearest.difference + EVEN for other in found)
    )
    unlike = search.similarity(replace(best, shown="contrast"))
    found = mean_of([one.similarity for one in compared])
    _check(found, nearest, unlike)
    worst = tuple(sorted(compared, key=lambda one: -one.similarity.difference)[:SHOWN])
    report = RecipeReport(
        title=f"Recipe found: correlation {found.correlation:.3f} with the site's images",
        command=command,
        machine=this_machine(PACKAGES),
        metrics=tuple(_metrics(found)),
        recipe=best.recipe,
        scaling=best.scaling,
        similarity=found,
        studies=len(site),
        images=len(compared),
        searched=len(searched),
        undecided=undecided,
        alternatives=alternatives,
        without_subtraction=unlike,
        worst=tuple(WorstImage(one.number, one.similarity.difference, one.similarity.correlation) for one in worst),
        images_sha256=images_sha256((pair.name, pair.pixels) for pair in sorted(pairs, key=lambda pair: pair.name)),
    )
    return report, worst


def recipe_toml(report: RecipeReport) -> str:
    """Return what `fcdd-export --recipe` reads, with a comment that says where it comes from."""
    lines = [
        f"# Found by fcdd-bench recipe (studies: {report.studies}, images: {report.images}): correlation",
        f"# {report.similarity.correlation:.4f}, difference {report.similarity.difference:.2f} of 255 grey levels.",
    ]
    if report.undecided:
        lines.append(f"# The images do not tell: {', '.join(report.undecided)}.")
    return "\n".join(lines) + "\n" + recipe_text(report.recipe)


def _site_studies(pairs: Sequence[SiteImage]) -> list[SiteStudy]:
    """Read and project the studies that have images."""
    found = []
    for path in sorted({pair.study for pair in pairs}):
        with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
            read, _ = read_studies(path, Path(scratch))
            if len(read) != 1:
                raise ReportError(f"{path} holds {len(read)} studies; give each a folder or zip of its own")
            found.append(SiteStudy(read[0], [pair for pair in pairs if pair.study == path]))
    return found


def _alternative(name: str, other: Candidate, similarity: Similarity) -> Alternative:
    value = other.scaling if name == "scaling" else getattr(other.recipe, name)
    return Alternative(name, shown(value), similarity.difference, similarity.correlation)


def _check(found: Similarity, nearest: Similarity, unlike: Similarity) -> None:
    # Grey levels depend on the window too, which was fitted to the subtraction; correlation does not.
    if unlike.difference < nearest.difference or unlike.correlation > nearest.correlation:
        raise GateError(
            "the images are more like the phase after contrast alone than like any subtraction "
            f"({unlike.difference:.1f} grey levels apart against {nearest.difference:.1f}, correlation "
            f"{unlike.correlation:.2f} against {nearest.correlation:.2f}); no recipe makes such images"
        )
    if found.correlation < MIN_CORRELATION:
        raise GateError(
            f"no recipe makes such images: the nearest correlates by {found.correlation:.2f} with them; check the "
            "pairs of studies and images, and whether they are axial projections of a subtraction"
        )


def _metrics(found: Similarity) -> Iterator[Metric]:
    yield Estimate.of_runs([found.correlation]).metric("correlation with the site's images", "higher")
    yield Estimate.of_runs([found.difference]).metric("difference from the site's images", "lower", "grey levels")
