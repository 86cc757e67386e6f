"""Studies and the images that a site made of them, paired by names or by a table."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fcdd_benchmarks.report.document import ReportError
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.outside_text import read_outside_text

Side = Literal["R", "L", "B", ""]
"""Which breast an image shows: right, left, both beside each other, or not known."""

_WORDS: dict[str, Side] = {"r": "R", "right": "R", "l": "L", "left": "L", "b": "B", "both": "B", "bilateral": "B"}


@dataclass(frozen=True)
class SiteImage:
    """One image that a site trained on, and the study that it was made of."""

    study: Path
    """Folder, zip or DICOM file."""
    side: Side
    name: str
    """Path relative to the folder of images, with forward slashes."""
    pixels: GreyImage


def find_pairs(studies: Path, images: Path, table: Path | None) -> list[SiteImage]:
    """Read a site's images, and find the study of each.

    Parameters
    ----------
    studies : holds a folder, a zip or a DICOM file for each study
    images : PNG or TIFF files, 8-bit grey
    table : CSV file with the columns image (relative to `images`), study (a name in `studies`) and, if wanted, side
        (R, L or B). None: an image belongs to the study whose name its path holds, and says its side with a word such
        as `R` or `left`

    Raises
    ------
    ReportError
        If an image or a study of the table is not there, or no image finds its study.
    ImageError
        If an image cannot be used.
    """
    if not studies.is_dir():
        raise ReportError(f"{studies} is no folder; give one that holds a folder or zip for each study")
    known = {path.name if path.is_dir() else path.stem: path for path in sorted(studies.iterdir())}
    paths = {path.relative_to(images).as_posix(): path for path in find_images(images)}
    if table is None:
        rows = [(name, *_by_name(name, known)) for name in paths]
        rows = [row for row in rows if row[1]]
        if not rows:
            raise ReportError(
                f"no image in {images} is named after a study in {studies}, as STUDY_R.png is; name them so, or give "
                "--pairs"
            )
    else:
        rows = _by_table(table)
        if not rows:
            raise ReportError(f"{table} names no image; give each a row image,study,side")
    found = []
    for name, study, side in rows:
        path, folder = paths.get(name), known.get(study) or known.get(Path(study).stem)
        if path is None or folder is None:
            raise ReportError(f"{table} names {name} of {study}, and one of them is not there; mend the table")
        found.append(SiteImage(folder, side, name, read_image(path)))
    return found


def _by_name(name: str, studies: dict[str, Path]) -> tuple[str, Side]:
    """Return the study whose name a path holds, the longest if there are several, and the side that it says."""
    words = f"_{'_'.join(_words(name))}_"
    held = [study for study in studies if f"_{'_'.join(_words(study))}_" in words]
    if not held:
        return "", ""
    study = max(held, key=len)
    rest = words.replace(f"_{'_'.join(_words(study))}_", "_", 1)
    sides: list[Side] = [_WORDS[word] for word in rest.split("_") if word in _WORDS]
    return study, sides[-1] if sides else ""


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", Path(name).with_suffix("").as_posix().lower()) if word]


def _by_table(table: Path) -> list[tuple[str, str, Side]]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_outside_text(table))))
        return [
            (row["image"].replace("\\", "/"), row["study"], _WORDS[side.lower()] if side else "")
            for row in rows
            for side in [(row.get("side") or "").strip()]
        ]
    except (KeyError, AttributeError, ValueError, OSError, csv.Error) as error:
        raise ReportError(
            f"{table} cannot be used; write a CSV file with the columns image,study,side, where side is R, L or B"
        ) from error
