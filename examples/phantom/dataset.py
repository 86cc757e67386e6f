"""Many phantoms -> breast images with their truth, by the same steps that a real study takes in the runtime."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from fcdd_runtime.breasts.projection import project
from fcdd_runtime.breasts.split import BreastImage, split_breasts
from fcdd_runtime.contract import MipRecipe, Resize
from fcdd_runtime.images.network_input import resize_image, stack_images
from fcdd_runtime.volumes.volume import SliceSource, Volume, volume_from_array
from phantom.dicom import phantom_uid
from phantom.difficulties import Difficulties, sample_difficulties
from phantom.draw import Phantom, draw_phantom
from phantom.lesions import Lesion

RECIPE = MipRecipe(crop="breast", air="clear")
"""What the bundled network was trained on."""
RESIZE = Resize("squash", 224, 224)
MAP_SIDE, CELL = 28, 8
"""Cells of the network's map in a row, and pixels of its image that a cell stands for."""


@dataclass(frozen=True)
class Split:
    """A run of seeds, one a study; no two splits share a seed."""

    first_seed: int
    studies: int
    lesion_share: float
    """Share of the studies (0..1), evenly spread, that have one lesion; their other breast has none."""


SPLITS = {
    "train": Split(first_seed=1_000_000, studies=2400, lesion_share=0.75),
    "validation": Split(first_seed=1_100_000, studies=300, lesion_share=0.5),
    "test": Split(first_seed=1_200_000, studies=300, lesion_share=0.5),
    "one difficulty": Split(first_seed=1_300_000, studies=100, lesion_share=0.5),
}
"""The studies of the last are drawn once for each difficulty, with that alone, as strong as it can be."""


@dataclass(frozen=True)
class Example:
    """One breast of a drawn study."""

    seed: int
    image: BreastImage
    lesions: tuple[Lesion, ...]
    """Those in this breast."""


def examples_of(split: Split, difficulties: Difficulties | None = None) -> Iterator[Example]:
    """Draw a split's studies, with one process a core, and yield the breasts of each in order.

    Parameters
    ----------
    difficulties : of every study; by default each draws its own
    """
    studies = [
        (split.first_seed + number, int((number + 1) * split.lesion_share) - int(number * split.lesion_share))
        for number in range(split.studies)
    ]
    for examples in in_processes(partial(_drawn, difficulties=difficulties), studies):
        yield from examples


def in_processes(
    draw: Callable[[tuple[int, int]], Sequence[Example]], studies: Sequence[tuple[int, int]]
) -> Iterator[Sequence[Example]]:
    """Draw studies, given as seed and number of lesions, with one process a core, in their order."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        yield from pool.map(draw, studies, chunksize=8)


def _drawn(study: tuple[int, int], difficulties: Difficulties | None) -> tuple[Example, ...]:
    seed, lesions = study
    hard = sample_difficulties(seed) if difficulties is None else difficulties
    return breasts_of(draw_phantom(seed, lesions=lesions, phases=2, difficulties=hard))


def breasts_of(phantom: Phantom) -> tuple[Example, ...]:
    """Subtract, project and split a drawn study as the runtime does with the bundled network's recipe."""
    pre, post = phantom_volume(phantom, 0), phantom_volume(phantom, RECIPE.post_contrast_phase)
    images, _ = split_breasts(project(pre, post), RECIPE)
    return tuple(
        Example(
            phantom.seed, image, tuple(lesion for lesion in phantom.lesions if lesion.laterality == image.laterality)
        )
        for image in images
    )


def phantom_volume(phantom: Phantom, phase: int) -> Volume:
    """Return one phase as the runtime would read it from the files that `write_phantom` writes."""
    sources = tuple(
        SliceSource(phantom_uid(phantom.seed, "image", phase, index), None) for index in range(phantom.grid.shape[0])
    )
    return volume_from_array(phantom.volumes[phase], phantom.grid, sources)


def training_images(split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Draw a split, and keep no more of it than a network is trained on.

    Returns
    -------
    images : uint8 (N, 1, 224, 224)
    labels : bool (N,), whether there is a lesion
    masks : bool (N, 28, 28), which cells of the map lie on a lesion
    """
    drawn = [
        (network_images([example])[0], bool(example.lesions), cells_on_lesions(example))
        for example in examples_of(split)
    ]
    images, labels, masks = zip(*drawn, strict=True)
    return np.stack(images), np.array(labels), np.stack(masks)


def cells_on_lesions(example: Example) -> npt.NDArray[np.bool_]:
    """Return the map's cells of which some pixel, of 8 x 8 of the network's image, is by 40 % or more of a lesion."""
    mask = lesion_mask(example)
    resized = resize_image(np.where(mask, 255, 0).astype(np.uint8), RESIZE)
    highest = resized.reshape(MAP_SIDE, CELL, MAP_SIDE, CELL).max((1, 3))
    return np.asarray(highest >= 100, dtype=np.bool_)


def lesion_mask(example: Example) -> npt.NDArray[np.bool_]:
    """Return which pixels show the inside of a lesion's mean radius, projected: bool (rows, columns) as the image.

    The drawn margins are irregular, up to a third of the radius inside or outside of that. A pixel is judged by its
    place across the projection, not by the slice that it came from: something brighter may lie before the lesion.
    """
    image, mask = example.image, np.zeros(example.image.pixels.shape, np.bool_)
    rows, columns = np.indices(mask.shape)
    corner, down, right = (np.array(image.patient_mm(*place)[:2]) for place in ((0, 0), (1, 0), (0, 1)))
    places = corner + rows[..., None] * (down - corner) + columns[..., None] * (right - corner)
    for lesion in example.lesions:
        mask |= np.linalg.norm(places - np.array(lesion.centre_mm[:2]), axis=-1) <= lesion.radius_mm
    return mask


def network_images(examples: Sequence[Example]) -> npt.NDArray[np.uint8]:
    """Return the examples as the network's input: uint8 (N, 1, 224, 224)."""
    return stack_images([example.image.pixels for example in examples], RESIZE)


def labels_of(examples: Sequence[Example]) -> npt.NDArray[np.bool_]:
    """Return which examples have a lesion: bool (N,)."""
    return np.array([bool(example.lesions) for example in examples])
