"""Labelled MIP images on disk: folders `normal` and `anomalous`, and where there are some, lesion masks and groups."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.report.document import images_sha256
from fcdd_export.gate.roc import Groups, Labels
from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.outside_text import read_outside_text

CLASSES = ("normal", "anomalous")
MASKS_FOLDER = "masks"
GROUPS_FILE = "groups.csv"

Mask = npt.NDArray[np.bool_]
"""Lesion pixels, bool (rows, columns) as the image."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with their truth, normals first, each class sorted by path."""

    names: tuple[str, ...]
    """Paths relative to the folder, with forward slashes."""
    images: tuple[GreyImage, ...]
    labels: Labels
    masks: tuple[Mask | None, ...]
    """Of anomalous images that have one."""
    groups: Groups | None
    """Numbers that images of one group, such as a patient, share; None if no groups were given."""
    sha256: str
    """Hash of names, labels and pixels: two runs with the same hash saw the same images."""


def read_labelled_images(folder: Path, masks: Path | None, groups: Path | None) -> LabelledImages:
    """Read all images of a folder with `normal` and `anomalous` in it.

    Parameters
    ----------
    masks : folder of masks, named as the anomalous images are within theirs up to the suffix; a pixel that is not 0 is
        lesion. None: `masks` in the folder, if it is there
    groups : CSV file with the columns image (relative to the folder) and group; None: `groups.csv` in the folder, if
        it is there

    Raises
    ------
    ImageError
        If a class has no image, an image or mask cannot be used, or the table does not name every image. None is left
        out: figures of a part of the images would pass for those of all.
    """
    paths = {kind: find_images(folder / kind) for kind in CLASSES}
    names = tuple(path.relative_to(folder).as_posix() for kind in CLASSES for path in paths[kind])
    images = tuple(read_image(path) for kind in CLASSES for path in paths[kind])
    labels = np.repeat([False, True], [len(paths[kind]) for kind in CLASSES])
    if masks is None and (folder / MASKS_FOLDER).exists():
        masks = folder / MASKS_FOLDER
    if groups is None and (folder / GROUPS_FILE).exists():
        groups = folder / GROUPS_FILE
    return LabelledImages(
        names,
        images,
        labels,
        (None,) * len(names) if masks is None else _read_masks(masks, names, images),
        None if groups is None else _read_groups(groups, names),
        # The names begin with their class, so that labels are hashed too.
        images_sha256(zip(names, images, strict=True)),
    )


def _read_masks(folder: Path, names: tuple[str, ...], images: tuple[GreyImage, ...]) -> tuple[Mask | None, ...]:
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in find_images(folder)}
    masks: list[Mask | None] = []
    for name, image in zip(names, images, strict=True):
        kind, _, within_class = name.partition("/")
        path = found.get(Path(within_class).with_suffix("").as_posix()) if kind == "anomalous" else None
        masks.append(None if path is None else _read_mask(path, image))
    if not any(mask is not None for mask in masks):
        raise ImageError(f"no mask in {folder} is named as an anomalous image; name masks as the images they belong to")
    return tuple(masks)


def _read_mask(path: Path, image: GreyImage) -> Mask:
    mask = read_image(path) > 0
    if mask.shape != image.shape:
        raise ImageError(f"{path} has {mask.shape} pixels and its image {image.shape}; draw the mask on the image")
    if mask.all() or not mask.any():
        raise ImageError(f"{path} marks all pixels or none; leave out the masks of images without a drawn lesion")
    return mask


def _read_groups(path: Path, names: tuple[str, ...]) -> Groups:
    try:
        rows = list(csv.DictReader(io.StringIO(read_outside_text(path))))
        group_of = {row["image"].replace("\\", "/"): row["group"] for row in rows}
    except (KeyError, AttributeError, ValueError, csv.Error) as error:
        raise ImageError(f"{path} cannot be used; write a CSV file with the columns image,group") from error
    if len(group_of) != len(rows):
        raise ImageError(f"{path} names an image twice; give every image one row")
    missing = sum(not group_of.get(name) for name in names)
    if missing:
        raise ImageError(f"{path} gives no group for {missing} images; name each as {CLASSES[0]}/FILE or so")
    numbers: Groups = np.unique([group_of[name] for name in names], return_inverse=True)[1].ravel()
    return numbers
