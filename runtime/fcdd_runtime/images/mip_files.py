"""Folders of ready-made MIP images: 8-bit grey PNG or TIFF."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study.dicom_bytes import is_dicom

SUFFIXES = frozenset({".png", ".tif", ".tiff"})
MAX_PIXELS = 4096 * 4096
"""Of one image. MIPs have some hundred rows and columns; as RGB so many take 50 MB."""
MAX_IMAGES = 100_000
"""Of one folder: their maps are kept until all are scored, 3 kB each."""
BITS_PER_SAMPLE = 258
"""TIFF tag."""


def find_images(folder: Path) -> list[Path]:
    """Return the PNG and TIFF files below a folder, sorted by relative path with forward slashes.

    Raises
    ------
    ImageError
        If there is none, or there are too many, or a folder cannot be read: its images would be missing without a
        word.
    """

    def refuse(error: OSError) -> None:
        name = quoted(Path(error.filename).name)
        raise ImageError(f"folder {name} cannot be read ({error.strerror}); its images would be missing")

    paths = [path for path in _files(folder, refuse) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise ImageError(
            f"input {quoted(folder.name)} holds no PNG or TIFF image; give a folder of 8-bit grey MIP images"
        )
    if len(paths) > MAX_IMAGES:
        raise ImageError(
            f"input {quoted(folder.name)} holds more than {MAX_IMAGES:,} images; give them in several parts"
        )
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds PNG or TIFF images and no DICOM file; a study may have pictures lying beside it."""
    # A file or folder that cannot be read is refused with a sentence by whoever reads the images or the study.
    try:
        files = _files(path, None) if path.is_dir() else []
        others = [file for file in files if file.suffix.lower() not in SUFFIXES]
        return len(others) < len(files) and not any(map(is_dicom, others))
    except (OSError, ValueError):  # a name may be too long, or hold what no name can
        return False


def read_image(path: Path) -> GreyImage:
    """Read one image as uint8 (rows, columns), 0..255.

    RGB images whose channels are equal count as grey, and transparency is dropped, as in the published loader.
    That loader clips 16-bit images at 255, which hides anatomy, so they are refused here.

    Raises
    ------
    ImageError
        If the file is unreadable, has colours, more than 8 bits, several pages, or absurdly many pixels.
    """
    name = f"image {quoted(path.name)}"
    try:
        with Image.open(path, formats=("PNG", "TIFF")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{name} has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
            if getattr(image, "n_frames", 1) > 1:
                raise ImageError(f"{name} has several pages; save each as a file of its own")
            if _bits(image, path) != {8}:
                raise ImageError(f"{name} has not 8 bits a pixel; window it to 8 bits as the training images were")
            rgb = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name} cannot be read as an image; save it again as PNG or TIFF") from error
    if not (np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])):
        raise ImageError(f"{name} has colours; a MIP image is grey")
    return np.ascontiguousarray(rgb[..., 0])


def _files(folder: Path, refuse: Callable[[OSError], None] | None) -> list[Path]:
    found = [Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names]
    return [path for path in found if path.is_file()]


def _bits(image: Image.Image, path: Path) -> set[int]:
    """Bits a sample as the file says: Pillow cuts 16-bit colour and grey with alpha to 8 without a word."""
    if isinstance(image, TiffImageFile):
        return set(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
    # IHDR is always a PNG's first chunk: 8 bytes of signature, length, name, width, height, then the bit depth.
    with path.open("rb") as file:
        return {file.read(25)[24]}
