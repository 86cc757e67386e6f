"""The recipe that was found as people see it."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from fcdd_benchmarks.recipe.measure import Compared
from fcdd_benchmarks.recipe.report import RecipeReport, shown
from fcdd_benchmarks.report.page import Page, Plot, Section
from fcdd_runtime.report.pages import data_uri

HEIGHT = 260
"""Of a picture, pixels."""
BRIGHTER = 8
"""How many times a difference is shown."""
_SCALED = {
    "squash": "as they are, or both sides scaled",
    "shorter_side_center_crop": "the shorter side scaled, and the centre taken",
}


def recipe_page(report: RecipeReport, worst: Sequence[Compared]) -> Page:
    """Put everything into tables, and show the images that the recipe comes least near to."""
    found = report.similarity
    lead = (
        f"Images that the runtime makes by this recipe differ from those of the site (images: {report.images}) by "
        f"{found.difference:.2f} of 255 grey levels (root mean square) and correlate by {found.correlation:.4f}. "
        f"Searched with {report.searched} of {report.studies} studies; all were compared in the end."
    )
    if report.undecided:
        lead += f" The images do not tell {', '.join(report.undecided)}: another choice comes as near."
    entries = [(name, shown(value)) for name, value in dataclasses.asdict(report.recipe).items()]
    recipe = Section(
        "Recipe",
        "What recipe.toml says, for fcdd-export --recipe.",
        ("entry", "value"),
        (*entries, ("size of the images", _SCALED[report.scaling])),
    )
    text = (
        "The same recipe with one entry changed, on the studies that were searched with. The phase after contrast "
        f"alone differs by {report.without_subtraction.difference:.1f}."
    )
    headers = ("entry", "value", "difference, grey levels", "correlation")
    rows = [(one.entry, one.value, f"{one.difference:.2f}", f"{one.correlation:.4f}") for one in report.alternatives]
    return Page(lead, (recipe, Section("What else was tried", text, headers, tuple(rows))), tuple(_pictures(worst)))


def _pictures(worst: Sequence[Compared]) -> Iterator[Plot]:
    for one in worst:
        apart = np.abs(one.theirs.astype(np.int16) - one.ours)
        difference = np.clip(BRIGHTER * apart, 0, 255).astype(np.uint8)
        pictures = [Image.fromarray(pixels) for pixels in (one.theirs, one.ours, difference)]
        width = round(one.theirs.shape[1] * HEIGHT / one.theirs.shape[0])
        inside = "".join(
            f'<image x="{number * (width + 8)}" width="{width}" height="{HEIGHT}" preserveAspectRatio="none" '
            f'href="{data_uri(picture)}"/>'
            for number, picture in enumerate(pictures)
        )
        size = f'width="{3 * width + 16}" height="{HEIGHT}"'
        yield Plot(
            f"Image {one.number}: {one.similarity.difference:.2f} grey levels apart",
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{inside}</svg>'.encode(),
            f"The site's, ours, and {BRIGHTER} times their difference. Numbers follow the order of names.",
        )
