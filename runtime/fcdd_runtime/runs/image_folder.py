"""A folder of ready-made MIP images becomes a score an image, for research on images without DICOM."""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fcdd_runtime.backends.base import Backend, Maps
from fcdd_runtime.contract import ModelContract, Resize
from fcdd_runtime.errors import ImageError, StudyError
from fcdd_runtime.files import replaced_file
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.images.network_input import GreyImage, infer_resized, resize_image
from fcdd_runtime.images.references import Reference, ReferenceOf, folder_references

RESULTS_FILE = "results.json"
MAPS_FILE = "maps.npz"


@dataclass(frozen=True)
class ImageScores:
    """Scores of the images of one folder."""

    names: tuple[str, ...]
    """Paths relative to the folder, with forward slashes, in sorted order; unreadable images are left out."""
    scores: tuple[float, ...]
    flagged: tuple[bool | None, ...]
    maps: Maps
    """float32 (N, 28, 28)."""
    failures: tuple[str, ...]
    """One sentence for each image that could not be used."""
    references: tuple[str, ...] | None
    """What each image was compared with: a file's name, or its path in the table; None for one-input networks."""


@dataclass(frozen=True)
class _Image:
    name: str
    pixels: GreyImage
    """As the network takes it: uint8 (size, size)."""
    reference: Reference | None


def network_image(path: Path, resize: Resize) -> GreyImage:
    """Read one image and make it the network's: uint8 (size, size); ImageError as `read_image`."""
    return resize_image(read_image(path), resize)


def score_images(
    folder: Path,
    backend: Backend,
    reference: Path | None = None,
    read: Callable[[Path, Resize], GreyImage] = network_image,
) -> ImageScores:
    """Score all PNG and TIFF images below a folder.

    Parameters
    ----------
    reference : what a two-input network compares the images with, as in `folder_references`; None for the others
    read : reads one image, as `network_image` does, perhaps elsewhere

    Raises
    ------
    ImageError
        If there is no image, or none can be used, or a reference is missing or superfluous.
    BackendError
        If the model cannot be run.
    """
    reference_of = _reference_of(folder, backend, reference)
    names: list[str] = []
    references: list[str] = []
    failures: list[str] = []
    scores, maps = [], []
    for chunk in _chunks(folder, backend.contract, read, reference_of, failures):
        others = [image.reference for image in chunk if image.reference is not None]
        names += [image.name for image in chunk]
        references += [other.name for other in others]
        chunk_scores, chunk_maps = infer_resized(
            np.stack([image.pixels for image in chunk])[:, np.newaxis],
            backend,
            np.stack([other.pixels for other in others])[:, np.newaxis] if reference_of else None,
        )
        scores.append(chunk_scores)
        maps.append(chunk_maps)
    if not names:
        raise ImageError(f"no image of the folder can be used: {failures[0]}")
    values = tuple(float(score) for score in np.concatenate(scores))
    flagged = tuple(backend.contract.flags(value) for value in values)
    return ImageScores(
        tuple(names),
        values,
        flagged,
        np.concatenate(maps),
        tuple(failures),
        tuple(references) if reference_of else None,
    )


def write_image_scores(result: ImageScores, backend: Backend, folder: Path, save_maps: bool) -> None:
    """Write `results.json`, and with `save_maps` also `maps.npz`, into an existing folder, each in one step."""
    rows: list[dict[str, Any]] = [
        {"image": name, "score": score, "flagged": flagged}
        for name, score, flagged in zip(result.names, result.scores, result.flagged, strict=True)
    ]
    for row, reference in zip(rows, result.references or (), strict=False):
        row["reference"] = reference
    with replaced_file(folder / RESULTS_FILE) as path:
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    # Maps of an earlier call would have other names than these rows.
    (folder / MAPS_FILE).unlink(missing_ok=True)
    if save_maps:
        with replaced_file(folder / MAPS_FILE) as path:
            _write_maps(path, result, backend.contract)


def _write_maps(path: Path, result: ImageScores, contract: ModelContract) -> None:
    """Write names, maps and heatmaps as `np.savez_compressed` does, but a heatmap at a time: each takes 0.2 MB."""
    shape = (len(result.maps), contract.resize.size, contract.resize.size)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("names", np.array(result.names)), ("anomaly_map", result.maps)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)  # type: ignore[no-untyped-call]
        with archive.open("heatmap.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
            for cells in result.maps:
                file.write(upsample(cells, contract.upsampling, contract.resize.size).astype("<f4").tobytes())


def _reference_of(folder: Path, backend: Backend, reference: Path | None) -> ReferenceOf | None:
    """Say where references come from; None for one-input networks."""
    if "reference" not in backend.contract.inputs:
        if reference is not None:
            raise ImageError(f"{backend.contract.network} takes no reference images; leave --reference out")
        return None
    if reference is None:
        raise ImageError(
            f"{backend.contract.network} compares every image with a reference; give --reference with an image, or "
            "with a CSV file of the columns image,reference"
        )
    return folder_references(reference, folder)


def _chunks(
    folder: Path,
    contract: ModelContract,
    read: Callable[[Path, Resize], GreyImage],
    reference_of: ReferenceOf | None,
    failures: list[str],
) -> Iterator[list[_Image]]:
    """Read images a batch at a time; of each only the network's image is kept, since files may be far larger."""
    chunk: list[_Image] = []
    for path in find_images(folder):
        name = path.relative_to(folder).as_posix()
        try:
            pixels = read(path, contract.resize)
            reference = reference_of(name) if reference_of else None
            if reference is not None:
                reference = replace(reference, pixels=resize_image(reference.pixels, contract.resize))
            chunk.append(_Image(name, pixels, reference))
        except (ImageError, StudyError) as error:
            failures.append(str(error))
        if len(chunk) == contract.max_batch_size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
