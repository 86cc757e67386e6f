"""Image folders -> 8-bit images and the statistics that the training code computes of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcdd_export.networks.served import IMAGE_SIZE
from fcdd_export.networks.snapshot import Normalization
from fcdd_runtime.contract import Resize
from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.images.network_input import GreyImage, stack_images

SQUASH = Resize("squash", IMAGE_SIZE, IMAGE_SIZE)


def images_in(folder: Path) -> list[GreyImage]:
    """Read all images below a folder, in sorted order.

    Raises
    ------
    ImageError
        If there is none, or one is not 8-bit grey.
    """
    return [read_image(path) for path in find_images(folder)]


def normal_images_in(folder: Path) -> list[GreyImage]:
    """Read the training normals below a folder.

    Raises
    ------
    ImageError
        If the folder, or one on the way to an image, is named `anomalous`, or an image cannot be used.
    """
    paths = find_images(folder)
    folders = {folder.resolve().name, *(part for path in paths for part in path.relative_to(folder).parts[:-1])}
    if "anomalous" in {name.lower() for name in folders}:
        raise ImageError(f"{folder} holds anomalous images; give the training normals alone as --normal-images")
    return [read_image(path) for path in paths]


def normalization_of(images: Sequence[GreyImage]) -> Normalization:
    """Compute mean and standard deviation as the published code does at every run.

    Every image is squashed to 224 x 224 whatever `preproc` says, scaled to 0..1, and all pixels are pooled; the
    deviation has n - 1. The three RGB channels of a grey image are equal.
    """
    # Whole numbers keep the sums exact, whatever the number of images.
    pixels = stack_images(images, SQUASH).astype(np.int64)
    count, total, squares = pixels.size, int(pixels.sum()), int((pixels * pixels).sum())
    variance = (squares - total * total / count) / (count - 1)
    if variance <= 0:
        raise ImageError("the normal images are all of one grey value; give the images that the network was trained on")
    return Normalization((total / count / 255,) * 3, (float(np.sqrt(variance)) / 255,) * 3)
