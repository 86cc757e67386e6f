"""How alike a site's image and ours are, and what ours look like for a recipe: made by the runtime itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from fcdd_benchmarks.recipe.pairs import SiteImage
from fcdd_benchmarks.recipe.report import Scaling, Similarity
from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import separate_breasts, split_breasts
from fcdd_runtime.contract import MipRecipe, Resize
from fcdd_runtime.errors import StudyError
from fcdd_runtime.images.network_input import GreyImage, crop_offset, resized_shape
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.study.read import Study
from fcdd_runtime.volumes.volume import FloatArray, Volume

Shown = Literal["subtraction", "contrast"]
"""What was projected: post minus pre, as recipes say, or the phase after contrast alone, as none can."""
MAX_PHASE = 8
"""Phases after contrast that are tried."""
GREY = (8, 247)
"""Between these, a pixel is neither black nor white, and shows what was windowed."""
MIN_GREY = 100
"""Pixels that a window is fitted to at least."""
WINDOW_ROUNDS = 8
CENTRE_SHARE = 224 / 248
"""Of the shorter side, that the published pipeline with a central crop keeps."""


@dataclass(frozen=True)
class Candidate:
    """One way to make a site's images."""

    recipe: MipRecipe
    scaling: Scaling = "squash"
    shown: Shown = "subtraction"


@dataclass(frozen=True)
class _Made:
    """What a recipe makes of a study, by side; nothing where it makes no image of it."""

    images: dict[str, GreyImage]
    enhancement: dict[str, FloatArray] = field(default_factory=dict)
    """What `images` show, before windowing."""


class SiteStudy:
    """A study, projected for every phase after contrast, with the images that a site made of it."""

    def __init__(self, study: Study, images: Sequence[SiteImage]):
        self.images = tuple(images)
        self._lateralities: dict[int, tuple[str, ...]] = {}
        self._projections: dict[tuple[Shown, int], tuple[Projection, ...]] = {}
        self._last: tuple[Candidate, _Made] | None = None
        for number in range(1, MAX_PHASE + 1):
            try:
                phases = split_phases(study, MipRecipe(post_contrast_phase=number))
            except StudyError:
                if number == 1:
                    raise
                break
            self._project(number, phases)

    @property
    def phases(self) -> set[int]:
        """Numbers of the phases after contrast that there are."""
        return set(self._lateralities)

    def window(self, candidate: Candidate) -> tuple[float, float] | None:
        """Fit the window that makes the site's greys of what our images show, by least squares over grey pixels.

        Returns
        -------
        low : value that is black, in rescaled scanner units
        quantile : share of the values in the study's images that are below white
        None where there is nothing to fit
        """
        values = self._made_by(candidate).enhancement
        pairs = [(values[image.side], image.pixels) for image in self.images if image.side in values]
        if not pairs:
            return None
        ours = np.concatenate([_scaled(one, theirs.shape, candidate.scaling).ravel() for one, theirs in pairs])
        theirs = np.concatenate([theirs.ravel() for _, theirs in pairs]).astype(np.float64)
        # Noise carries black and white pixels in between, so that what counts as grey is judged by the fit itself.
        grey, slope, black = (theirs > GREY[0]) & (theirs < GREY[1]), 0.0, 0.0
        for _ in range(WINDOW_ROUNDS):
            if grey.sum() < MIN_GREY or ours[grey].std() == 0:
                return None
            slope, black = np.polyfit(ours[grey], theirs[grey], 1)
            fitted = slope * ours + black
            grey = (fitted > GREY[0]) & (fitted < GREY[1])
        if slope <= 0:
            return None
        every = np.concatenate([one.ravel() for side, one in values.items() if side != "B"])
        return float(-black / slope), float((every <= (255 - black) / slope).mean())

    def best_image(self, candidate: Candidate, image: SiteImage) -> tuple[GreyImage, Similarity]:
        """Return ours that shows what one of the site's shows, in its size; a black one if the recipe makes none."""
        made = self._made_by(candidate).images
        sides = [image.side] if image.side else ["R", "L", "B"]
        ours = [_scaled(made[side], image.pixels.shape, candidate.scaling) for side in sides if side in made]
        alike = [(one, similarity(one, image.pixels)) for one in ours or [np.zeros_like(image.pixels)]]
        return min(alike, key=lambda pair: pair[1].difference)

    def similarities(self, candidate: Candidate) -> list[Similarity]:
        """Compare with each of the site's images."""
        return [self.best_image(candidate, image)[1] for image in self.images]

    def _project(self, number: int, phases: Phases) -> None:
        sides = [phases] if phases.left is None else [phases, phases.left]
        self._lateralities[number] = tuple(side.laterality for side in sides)
        subtracted = tuple(project(side.pre, side.post) for side in sides)
        self._projections["subtraction", number] = subtracted
        self._projections["contrast", number] = tuple(
            replace(projection, maximum=project(_black(side.pre), side.post).maximum)
            for side, projection in zip(sides, subtracted, strict=True)
        )

    def _made_by(self, candidate: Candidate) -> _Made:
        """Return the breasts' images by side, and under `B` both beside each other where they are equally high."""
        key = replace(candidate, scaling="squash")
        if self._last is None or self._last[0] != key:
            self._last = key, self._make(key)
        return self._last[1]

    def _make(self, candidate: Candidate) -> _Made:
        number, recipe = candidate.recipe.post_contrast_phase, candidate.recipe
        projections, sides = self._projections.get((candidate.shown, number)), self._lateralities.get(number)
        if projections is None or sides is None:
            return _Made({})
        try:
            if len(projections) == 1:
                breasts, _ = split_breasts(projections[0], recipe, sides[0])
            else:
                (right, left), (right_side, left_side) = projections, sides
                breasts, _ = separate_breasts(right, left, recipe, (right_side, left_side))
        except StudyError:
            return _Made({})
        made = {breast.laterality: breast.pixels for breast in breasts}
        shown = {breast.laterality: breast.enhancement for breast in breasts}
        if len(made) == 2 and len({len(pixels) for pixels in made.values()}) == 1 and not recipe.mirror_left:
            made["B"] = np.concatenate([made["R"], made["L"]], axis=1)
            shown["B"] = np.concatenate([shown["R"], shown["L"]], axis=1)
        return _Made(made, shown)


def similarity(ours: GreyImage, theirs: GreyImage) -> Similarity:
    """Compare two images of one size."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    spread = one.std() * other.std()
    correlation = float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 0.0
    return Similarity(float(np.sqrt(np.square(one - other).mean())), correlation)


def mean_of(similarities: Sequence[Similarity]) -> Similarity:
    """Return the means over several images."""
    return Similarity(fmean(one.difference for one in similarities), fmean(one.correlation for one in similarities))


def _scaled(image: npt.NDArray[Any], shape: tuple[int, ...], scaling: Scaling) -> npt.NDArray[Any]:
    """Bring uint8 or float32 to a site's size, which is square where the centre is taken; as it is where it has it."""
    if scaling == "squash" and image.shape == shape:
        return image
    resize = Resize(scaling, shape[0], round(shape[0] / CENTRE_SHARE))
    height, width = shape if scaling == "squash" else resized_shape(image.shape, resize)
    resized = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
    if scaling == "squash":
        return np.asarray(resized)
    top, left = crop_offset((height, width), resize.size)
    return np.asarray(resized)[top : top + resize.size, left : left + resize.size]


def _black(volume: Volume) -> Volume:
    """Return a volume of the same grid that is 0 everywhere."""
    zeros = np.zeros(volume.grid.shape[1:], dtype=np.int16)
    return replace(volume, read_pixels=lambda index: zeros)
