"""Where a heatmap is highest -> the voxel that a reader would look at."""

import numpy as np

from fcdd_runtime.batch import image_position
from fcdd_runtime.breasts import BreastImage
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.heatmap import Heatmaps
from fcdd_runtime.result import Peak


def find_peak(heatmap: Heatmaps, breast: BreastImage, contract: ModelContract) -> Peak:
    """Trace a heatmap's maximum back to the patient.

    A map cell sees many pixels, so its own position is coarse: the peak is the brightest pixel of the breast image
    within one map cell (`jump` network pixels) of the heatmap's maximum, and the voxel which that pixel shows.

    Parameters
    ----------
    heatmap : float32 (size, size)
    breast : the image that the heatmap belongs to, before resizing
    """
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    top, left, bottom, right = _cell_around((int(row), int(column)), breast, contract)
    window = breast.pixels[top:bottom, left:right]
    offset = np.unravel_index(int(np.argmax(window)), window.shape)
    image_pixel = top + int(offset[0]), left + int(offset[1])
    source = breast.source(*image_pixel)
    return Peak(
        heatmap_pixel=(int(row), int(column)),
        image_pixel=image_pixel,
        patient_mm=breast.patient_mm(*image_pixel),
        sop_instance_uid=source.sop_instance_uid,
        frame_number=source.frame_number,
    )


def _cell_around(pixel: tuple[int, int], breast: BreastImage, contract: ModelContract) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (exclusive) in breast image pixels, within the image and never empty."""
    shape, jump = breast.pixels.shape, contract.upsampling.jump
    first = image_position((pixel[0] - jump, pixel[1] - jump), shape, contract.resize)
    last = image_position((pixel[0] + jump, pixel[1] + jump), shape, contract.resize)
    top, left = (min(max(round(value), 0), side - 1) for value, side in zip(first, shape, strict=True))
    bottom, right = (min(max(round(value), 0), side - 1) for value, side in zip(last, shape, strict=True))
    return top, left, bottom + 1, right + 1
