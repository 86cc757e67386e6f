"""Heatmap upsampling: the separable form against the transposed convolution that the training code uses."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fcdd_runtime.contract import Upsampling
from fcdd_runtime.errors import GateError
from fcdd_runtime.images.heatmap import Heatmaps, gaussian_kernel, upsample

LIMIT = 1e-5
"""Largest difference of the two, as a share of the largest heatmap value."""


def transposed(maps: npt.NDArray[np.float32], upsampling: Upsampling, size: int) -> Heatmaps:
    """Upsample as published: a transposed convolution with the two-dimensional Gaussian, then cropped."""
    with torch.inference_mode():
        full = F.conv_transpose2d(torch.from_numpy(maps)[:, None], _kernel(upsampling), stride=upsampling.jump)
    start = (upsampling.extent - 1) // 2 - int(upsampling.shift)
    heatmaps: Heatmaps = full[:, 0, start : start + size, start : start + size].numpy()
    return heatmaps


@lru_cache(maxsize=8)
def _kernel(upsampling: Upsampling) -> Tensor:
    line = gaussian_kernel(upsampling.extent, upsampling.std)
    return torch.from_numpy(np.outer(line, line).astype(np.float32))[None, None]


def check_upsampling(maps: npt.NDArray[np.float32], upsampling: Upsampling, size: int) -> float:
    """Return the largest difference of the two forms, as a share of the largest value.

    Raises
    ------
    GateError
        If it exceeds `LIMIT`: a time for a wrong heatmap is none.
    """
    ours, theirs = upsample(maps, upsampling, size), transposed(maps, upsampling, size)
    error = float(np.abs(ours - theirs).max() / max(float(theirs.max()), float(np.finfo(np.float32).tiny)))
    if not error <= LIMIT:
        raise GateError(f"the two ways to upsample heatmaps differ by {error:.1e}, limit {LIMIT:.0e}; report this")
    return error
