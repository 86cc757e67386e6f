"""What report.json of the recipe benchmark holds."""

from dataclasses import dataclass
from typing import Literal

from fcdd_benchmarks.report.document import Report
from fcdd_runtime.contract import MipRecipe

Scaling = Literal["squash", "shorter_side_center_crop"]
"""How a breast image came to the size of the site's, as in `Resize`."""

MIN_CORRELATION = 0.8
"""Images that are less alike than this were made in a way that no recipe says."""


@dataclass(frozen=True)
class Similarity:
    """Of an image made in one way and a site's."""

    difference: float
    """Root of the mean square difference, grey levels (0..255)."""
    correlation: float
    """Pearson's correlation of grey values; 0 where one image is all of one grey."""


def shown(value: object) -> str:
    """Write an entry's value for people."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Alternative:
    """The recipe that was found, with another value of one entry."""

    entry: str
    value: str
    difference: float
    """As in `Similarity`, over the studies that were searched with."""
    correlation: float


@dataclass(frozen=True)
class WorstImage:
    """One of the site's images that the recipe comes least near to."""

    image: int
    """Its number, from 1, in the order of names."""
    difference: float
    correlation: float


@dataclass(frozen=True, kw_only=True)
class RecipeReport(Report):
    """Which recipe makes a site's images of its studies."""

    benchmark: str = "recipe"
    recipe: MipRecipe
    scaling: Scaling
    """How its images came to the size that they have."""
    similarity: Similarity
    """Of what the recipe makes and all images: means."""
    studies: int
    images: int
    searched: int
    """Studies that were searched with."""
    undecided: tuple[str, ...]
    """Choices of which another one makes images that are as near."""
    alternatives: tuple[Alternative, ...]
    without_subtraction: Similarity
    """Of the phase after contrast alone, with the same recipe."""
    worst: tuple[WorstImage, ...]
    images_sha256: str
    """Hash of the images' names and pixels."""
