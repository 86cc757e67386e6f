"""Folders of ready-made MIP images: 8-bit grey PNG or TIFF."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fcdd_runtime.batch import GreyImage
from fcdd_runtime.errors import ImageError

SUFFIXES = frozenset({".png", ".tif", ".tiff"})
MAX_PIXELS = 64_000_000


def find_images(folder: Path) -> list[Path]:
    """Return the PNG and TIFF files below a folder, sorted by path.

    Raises
    ------
    ImageError
        If there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ImageError(f"{folder} holds no PNG or TIFF image; give a folder of 8-bit grey MIP images")
    return paths


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds PNG or TIFF images and no DICOM file; a study may have pictures lying beside it."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    return any(file.suffix.lower() in SUFFIXES for file in files) and not any(map(_is_dicom, files))


def read_image(path: Path) -> GreyImage:
    """Read one image as uint8 (rows, columns), 0..255.

    RGB images whose channels are equal count as grey, and transparency is dropped, as in the published loader.
    That loader clips 16-bit images at 255, which hides anatomy, so they are refused here.

    Raises
    ------
    ImageError
        If the file is unreadable, has colours, more than 8 bits, several pages, or absurdly many pixels.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{path} has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
            if getattr(image, "n_frames", 1) > 1:
                raise ImageError(f"{path} has several pages; save each as a file of its own")
            if image.mode.startswith(("I", "F")):
                raise ImageError(
                    f"{path} has more than 8 bits a pixel; window it to 8 bits as the training images were"
                )
            rgb = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path} cannot be read as an image; save it again as PNG or TIFF") from error
    if not (np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])):
        raise ImageError(f"{path} has colours; a MIP image is grey")
    return np.ascontiguousarray(rgb[..., 0])


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
