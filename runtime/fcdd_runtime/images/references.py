"""Reference images of networks that compare two: recorded ones, as `--reference` names them."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.outside_text import read_outside_text
from fcdd_runtime.redaction import quoted

COLUMNS = ["image", "reference"]


@dataclass(frozen=True)
class Reference:
    """What an image is compared with."""

    name: str
    """What results call it: a file's name, its path in a table, or `OTHER_BREAST`."""
    pixels: GreyImage
    """uint8 (rows, columns), 0..255, oriented as the images that it is compared with."""


OTHER_BREAST = "other breast"

ReferenceOf = Callable[[str], Reference]
"""Gives the reference of an image by the image's name; raises ImageError if it has none that can be used."""


def recorded_reference(path: Path) -> Reference:
    """Read one image that everything is compared with.

    Raises
    ------
    ImageError
        If it is a table, or not 8-bit grey.
    """
    if _is_table(path):
        raise ImageError("a CSV file of references goes with a folder of images; give one image for DICOM studies")
    try:
        return Reference(path.name, read_image(path))
    except ImageError as error:
        # The terminal names no files: they can be called by a patient's name.
        raise ImageError(str(error).replace(f"image {quoted(path.name)}", "the reference image")) from error


def folder_references(path: Path, folder: Path) -> ReferenceOf:
    """Read which reference each image of a folder is compared with.

    Parameters
    ----------
    path : one image for all, or a CSV file with the columns `image` and `reference`, paths relative to `folder`

    Raises
    ------
    ImageError
        If the image or the table cannot be used, the table names an image that the folder does not hold, or an image
        would be compared with itself: no anomaly differs from itself, so that its score would say nothing.
    """
    if not _is_table(path):
        recorded = recorded_reference(path)
        if any(path.samefile(image) for image in find_images(folder)):
            raise ImageError(
                "the reference image lies in the folder of images and would be compared with itself; move it out of "
                f"the folder, or give a CSV file of the columns {','.join(COLUMNS)}"
            )
        return lambda _: recorded
    rows = _read_table(path)
    names = {image.relative_to(folder).as_posix() for image in find_images(folder)}
    if unknown := sorted(set(rows) - names):
        raise ImageError(
            f"the table of references names image {quoted(unknown[0])}, which the folder of images does not hold"
        )
    for image, reference in rows.items():
        if (folder / reference).exists() and (folder / reference).samefile(folder / image):
            raise ImageError(
                f"the table of references compares image {quoted(image)} with itself; name another image for it"
            )

    def listed_reference(name: str) -> Reference:
        if name not in rows:
            raise ImageError(f"image {quoted(name)} has no row in the table of references; add one")
        return Reference(rows[name], read_image(folder / rows[name]))

    return listed_reference


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _read_table(path: Path) -> dict[str, str]:
    """Return image -> reference, both with forward slashes."""
    try:
        table = io.StringIO(read_outside_text(path))
        header, *lines = [line for line in csv.reader(table, strict=True) if line] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise ImageError("the table of references cannot be read; give a CSV file in UTF-8") from error
    if header != COLUMNS or not all(len(line) == 2 and all(line) for line in lines):
        raise ImageError(f"the table of references needs the header {','.join(COLUMNS)} and two entries in every row")
    rows: dict[str, str] = {}
    for image, reference in lines:
        if rows.setdefault(_posix(image), _posix(reference)) != _posix(reference):
            raise ImageError(f"the table of references names two for image {quoted(image)}; leave one")
    return rows


def _posix(text: str) -> str:
    return PurePosixPath(text.replace("\\", "/")).as_posix()
