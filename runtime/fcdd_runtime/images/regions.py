"""Where a heatmap is above a stated level -> the source voxels that are shown there."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_runtime.contract import Display, ModelContract, Resize
from fcdd_runtime.images.network_input import crop_offset, resized_shape
from fcdd_runtime.result import BreastResult
from fcdd_runtime.volumes.body_mask import numbered_regions

DEPTH = 2
"""How many voxels before and behind the brightest one belong to a region, along the direction of projection."""

FloatArray = npt.NDArray[np.float32]
Voxels = npt.NDArray[np.int32]
"""int32 (N, 3): slice, row and column in the post-contrast volume, from 0; no two the same."""


@dataclass(frozen=True)
class Region:
    """Pixels of a breast image that hang together and are above the level, and what they were projected from.

    A response is wider than what causes it, and beside that a projection shows whatever is brightest, at any depth. So
    a region comes in two parts: what hangs together in depth too with its peak, and the rest, which is scattered.
    """

    pixels: npt.NDArray[np.bool_]
    """bool (rows, columns), of the breast image."""
    core: npt.NDArray[np.bool_]
    """Those that are reached from the peak by steps from pixel to pixel whose depths differ by `DEPTH` at most."""
    voxels: Voxels
    """Of the core: the voxel that each pixel shows, and those within `DEPTH` of it."""
    scattered: Voxels
    """The same of the other pixels; may be empty."""
    highest: float
    """Largest value of the heatmap on its pixels."""


def region_level(display: Display) -> float | None:
    """Return the heatmap value above which a region lies: the middle of the contract's reference range.

    Never the image's own range, in which every image has a highest place. None where the range has no width.
    """
    low, span = display.reference_range
    return low + span / 2 if span > 0 else None


def find_regions(breast: BreastResult, contract: ModelContract) -> list[Region]:
    """Find the regions of a breast, the one with the highest response first.

    Air that the recipe cleared is of no region: its brightest voxel is one of noise.
    """
    level = region_level(contract.display)
    if level is None:
        return []
    heat = heat_at_pixels(breast.heatmap, breast.image.shape, contract.resize)
    numbers = numbered_regions((heat > level) & breast.body)
    regions = []
    for number in range(1, int(numbers.max(initial=0)) + 1):
        pixels = numbers == number
        core = _core(breast, pixels, heat)
        voxels, scattered = (voxels_around(breast, part) for part in (core, pixels & ~core))
        regions.append(Region(pixels, core, voxels, scattered, float(heat[pixels].max())))
    return sorted(regions, key=lambda region: -region.highest)


def _core(breast: BreastResult, pixels: npt.NDArray[np.bool_], heat: FloatArray) -> npt.NDArray[np.bool_]:
    """Grow the core from the breast's peak; in another region from its brightest pixel, of equal ones the hottest."""
    seed = breast.peak.image_pixel
    if not pixels[seed]:
        brightest = pixels & (breast.image == breast.image[pixels].max())
        place = np.unravel_index(int(np.argmax(np.where(brightest, heat, -np.inf))), pixels.shape)
        seed = int(place[0]), int(place[1])
    depth = breast.voxels[..., breast.axes[0]]
    near = [pixels[:-1] & pixels[1:], pixels[:, :-1] & pixels[:, 1:]]
    near[0] &= np.abs(np.diff(depth, axis=0)) <= DEPTH
    near[1] &= np.abs(np.diff(depth, axis=1)) <= DEPTH
    core = np.zeros(pixels.shape, dtype=np.bool_)
    core[seed] = True
    size = 0
    while size < (size := int(core.sum())):
        core[1:] |= core[:-1] & near[0]
        core[:-1] |= core[1:] & near[0]
        core[:, 1:] |= core[:, :-1] & near[1]
        core[:, :-1] |= core[:, 1:] & near[1]
    return core


def voxels_around(breast: BreastResult, pixels: npt.NDArray[np.bool_]) -> Voxels:
    """Return the voxels that pixels show, and those within `DEPTH` along the projection, inside the volume.

    Along the projection each voxel is seen by one pixel, so that voxels of different pixels are never the same.
    """
    return np.concatenate([voxels for _, voxels in layers_of(breast, pixels)])


def layers_of(breast: BreastResult, pixels: npt.NDArray[np.bool_]) -> Iterator[tuple[npt.NDArray[np.bool_], Voxels]]:
    """Yield, for each step along the projection of at most `DEPTH`, which pixels are still inside the volume there.

    Yields
    ------
    inside : bool (N,), of the N chosen pixels in the order of `np.nonzero`
    voxels : of those inside, no two the same
    """
    axis = breast.axes[0]
    shown = breast.voxels[pixels]
    for step in range(-DEPTH, DEPTH + 1):
        place = shown[:, axis] + step
        inside = (place >= 0) & (place < breast.volume_shape[axis])
        voxels = shown[inside]
        voxels[:, axis] += step
        yield inside, voxels


def heat_at_pixels(heatmap: FloatArray, shape: tuple[int, ...], resize: Resize) -> FloatArray:
    """Return the heatmap at the centre of each pixel of the breast image: its nearest value, nothing interpolated.

    Parameters
    ----------
    heatmap : float32 (size, size), on the network's image
    shape : rows and columns of the breast image

    Returns
    -------
    float32 `shape`; -inf where the network did not look
    """
    resized = resized_shape(shape, resize)
    places, seen = [], []
    for count, length, offset in zip(shape, resized, crop_offset(resized, resize.size), strict=True):
        place = np.floor((np.arange(count) + 0.5) * length / count).astype(np.intp) - offset
        seen.append((place >= 0) & (place < resize.size))
        places.append(np.clip(place, 0, resize.size - 1))
    return np.where(np.logical_and.outer(*seen), heatmap[np.ix_(*places)], np.float32(-np.inf))
