"""Anomaly map -> heatmap on the network's image, by the published receptive-field upsampling.

The published code convolves transposed with stride `jump` and an `extent` x `extent` Gaussian, then crops by the
receptive field's shift (FCDD, Liznerski et al., ICLR 2021, algorithm 1). The kernel is an outer product, so the
whole operation is `U @ map @ U.T` with one (size, cells) matrix U.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fcdd_runtime.contract import Display, Upsampling

Heatmaps = npt.NDArray[np.float32]
"""float32 (..., size, size), same unit as the maps."""


def upsample(maps: npt.NDArray[np.float32], upsampling: Upsampling, size: int) -> Heatmaps:
    """Upsample anomaly maps to heatmaps.

    Parameters
    ----------
    maps : float32 (..., cells, cells), at least 0
    size : side of the network's image, pixels

    Returns
    -------
    float32 (..., size, size)
    """
    matrix = upsampling_matrix(upsampling, maps.shape[-1], size)
    heatmaps: Heatmaps = matrix @ maps @ matrix.T
    return heatmaps


@lru_cache(maxsize=8)
def upsampling_matrix(upsampling: Upsampling, cells: int, size: int) -> npt.NDArray[np.float32]:
    """Return U, float32 (size, cells), read-only: column c is the Gaussian of cell c, cropped to the image.

    Cell c's kernel starts at `c * jump` in the transposed convolution's output, of which the first
    `(extent - 1) // 2 - int(shift)` entries are cropped.
    """
    kernel = gaussian_kernel(upsampling.extent, upsampling.std)
    cropped = (upsampling.extent - 1) // 2 - int(upsampling.shift)
    pixel = np.arange(size)[:, np.newaxis] + cropped - upsampling.jump * np.arange(cells)
    inside = (pixel >= 0) & (pixel < upsampling.extent)
    matrix = np.where(inside, kernel[np.clip(pixel, 0, upsampling.extent - 1)], 0).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def gaussian_kernel(extent: int, std: float) -> npt.NDArray[np.float64]:
    """Return the published one-dimensional kernel, float64 (extent,).

    For an even extent it is the Gaussian of the next smaller odd one with its centre value doubled, and the whole
    halved.
    """
    odd = extent - 1 if extent % 2 == 0 else extent
    offsets = np.arange(odd) - odd // 2
    kernel: npt.NDArray[np.float64] = np.exp(-0.5 * (offsets / std) ** 2)
    if extent % 2 == 0:
        kernel = np.insert(kernel, odd // 2, kernel[odd // 2]) / 2
    return kernel


def display_range(heatmap: Heatmaps, quantile: float) -> tuple[float, float]:
    """Return the heatmap's minimum, and the value above that minimum that is shown as full colour.

    As published: the `int(quantile * n)`-th smallest of the n values, counted from 1.
    """
    low = float(heatmap.min())
    rank = max(int(quantile * heatmap.size), 1)
    return low, float(np.partition(heatmap, rank - 1, axis=None)[rank - 1]) - low


def scaled_for_display(heatmap: Heatmaps, display: Display, scale: str) -> Heatmaps:
    """Scale a heatmap to 0..1 for a colour map.

    Parameters
    ----------
    heatmap : float32 (rows, columns)
    scale : `local` uses the heatmap's own range, `global` the contract's reference range
    """
    low, span = display_range(heatmap, display.quantile) if scale == "local" else display.reference_range
    if span <= 0:
        # As the published division by zero, clamped: everything above the minimum is shown in full.
        return (heatmap > low).astype(np.float32)
    return np.clip((heatmap - low) / span, 0, 1).astype(np.float32)
