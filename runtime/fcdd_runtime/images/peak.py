"""Where a heatmap is highest -> the voxel that a reader would look at."""

import numpy as np

from fcdd_runtime.breasts.split import BreastImage
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.images.heatmap import Heatmaps
from fcdd_runtime.images.network_input import image_position
from fcdd_runtime.result import Peak


def find_peak(heatmap: Heatmaps, breast: BreastImage, contract: ModelContract) -> Peak:
    """Trace a heatmap's maximum back to the patient.

    A map cell sees many pixels, so its own position is coarse: the peak is the pixel that enhances most within one map
    cell (`jump` network pixels) of the heatmap's maximum, and the voxel which that pixel shows. Enhancement is taken
    before windowing, which clips the brightest pixels to one grey; of equal pixels the nearest to the maximum counts.
    Air that was cleared is no place to look at: where the cell holds nothing else, the nearest pixel outside it counts.

    Parameters
    ----------
    heatmap : float32 (size, size)
    breast : the image that the heatmap belongs to, before resizing
    """
    row, column = (int(index) for index in np.unravel_index(int(np.argmax(heatmap)), heatmap.shape))
    shape, jump = breast.pixels.shape, contract.upsampling.jump
    first = image_position((row - jump, column - jump), shape, contract.resize)
    last = image_position((row + jump, column + jump), shape, contract.resize)
    # The map cell in the breast image: within it, and never empty.
    top, left = (min(max(round(value), 0), side - 1) for value, side in zip(first, shape, strict=True))
    bottom, right = (min(max(round(value), 0), side - 1) + 1 for value, side in zip(last, shape, strict=True))
    shown = ~breast.air
    if shown[top:bottom, left:right].any():
        cell = np.zeros(shape, dtype=np.bool_)
        cell[top:bottom, left:right] = True
        cell &= shown
        highest = np.argwhere(cell & (breast.enhancement == breast.enhancement[cell].max()))
    else:
        highest = np.argwhere(shown)
    centre = image_position((row, column), shape, contract.resize)
    nearest = highest[int(np.argmin(np.linalg.norm((highest - centre) * breast.pixel_mm, axis=1)))]
    image_pixel = int(nearest[0]), int(nearest[1])
    source = breast.source(*image_pixel)
    return Peak(
        heatmap_pixel=(row, column),
        image_pixel=image_pixel,
        patient_mm=breast.patient_mm(*image_pixel),
        sop_instance_uid=source.sop_instance_uid,
        frame_number=source.frame_number,
    )
