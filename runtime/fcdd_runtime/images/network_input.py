"""8-bit grey images -> contract tensors, in chunks; and the way back from a network pixel to an image pixel."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from fcdd_runtime.backends.base import Backend, Maps, Scores
from fcdd_runtime.contract import Resize
from fcdd_runtime.errors import ImageError

GreyImage = npt.NDArray[np.uint8]
"""uint8 (rows, columns), 0..255, sizes may differ from image to image."""


def infer_images(
    images: Sequence[GreyImage], backend: Backend, references: Sequence[GreyImage] | None = None
) -> tuple[Scores, Maps]:
    """Resize, batch and score images, in order.

    Parameters
    ----------
    images : at least one; the `mip` input
    references : the `reference` input of two-input networks, one an image; None for the others

    Returns
    -------
    scores : float32 (len(images),)
    maps : float32 (len(images), rows, columns) as in the contract

    Raises
    ------
    ImageError
        If references are missing, superfluous, or not one an image.
    BackendError
        If the model cannot be run.
    """
    resize = backend.contract.resize
    return infer_resized(
        stack_images(images, resize), backend, None if references is None else stack_images(references, resize)
    )


def infer_resized(
    images: npt.NDArray[np.uint8], backend: Backend, references: npt.NDArray[np.uint8] | None = None
) -> tuple[Scores, Maps]:
    """Batch and score images that have the network's size already; see `infer_images`.

    Parameters
    ----------
    images, references : uint8 (N, 1, size, size), as `stack_images` makes them
    """
    contract = backend.contract
    columns = {"mip": images}
    if "reference" in contract.inputs:
        if references is None or len(references) != len(images):
            raise ImageError("this network needs one reference image for every image")
        columns["reference"] = references
    elif references is not None:
        raise ImageError("this network takes no reference images")
    answers = []
    for start in range(0, len(images), contract.max_batch_size):
        chunk = slice(start, start + contract.max_batch_size)
        answers.append(backend.infer({name: column[chunk] for name, column in columns.items()}))
    return np.concatenate([scores for scores, _ in answers]), np.concatenate([maps for _, maps in answers])


def stack_images(images: Sequence[GreyImage], resize: Resize) -> npt.NDArray[np.uint8]:
    """Resize images and stack them: uint8 (N, 1, size, size), C-contiguous."""
    return np.stack([resize_image(image, resize) for image in images])[:, np.newaxis]


def resize_image(image: GreyImage, resize: Resize) -> GreyImage:
    """Resize one 8-bit image as the published loader does: PIL bilinear with antialiasing, on 8-bit values.

    The centre crop's offset is rounded half to even, as torchvision's `CenterCrop` does.

    Returns
    -------
    uint8 (resize.size, resize.size)
    """
    if image.ndim != 2 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(f"a breast image is uint8 (rows, columns), this one is {image.dtype} {image.shape}")
    height, width = resized_shape(image.shape, resize)
    resized = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
    top, left = crop_offset((height, width), resize.size)
    return np.asarray(resized, dtype=np.uint8)[top : top + resize.size, left : left + resize.size].copy()


def resized_shape(shape: tuple[int, ...], resize: Resize) -> tuple[int, int]:
    """Rows and columns of an image of `shape` after resizing and before the crop."""
    if resize.rule == "squash":
        return resize.size, resize.size
    rows, columns = shape
    if rows <= columns:
        return resize.shorter_side, int(resize.shorter_side * columns / rows)
    return int(resize.shorter_side * rows / columns), resize.shorter_side


def crop_offset(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """First row and column of the central `size` x `size` pixels of an image of `shape`."""
    return round((shape[0] - size) / 2), round((shape[1] - size) / 2)


def image_position(pixel: tuple[float, float], shape: tuple[int, ...], resize: Resize) -> tuple[float, float]:
    """Map a position in the network's image to the image of `shape` that it was resized from.

    Positions are (row, column), pixels, with pixel centres at whole numbers; the inverse of `resize_image`.
    """
    height, width = resized_shape(shape, resize)
    top, left = crop_offset((height, width), resize.size)
    row = (pixel[0] + top + 0.5) * shape[0] / height - 0.5
    column = (pixel[1] + left + 0.5) * shape[1] / width - 0.5
    return row, column
