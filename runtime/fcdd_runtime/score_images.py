"""A folder of ready-made MIP images becomes a score an image, for research on images without DICOM."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_runtime.backends.base import Backend, Maps
from fcdd_runtime.batch import GreyImage, infer_images
from fcdd_runtime.errors import ImageError
from fcdd_runtime.files import replaced_file
from fcdd_runtime.heatmap import upsample
from fcdd_runtime.images import find_images, read_image

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


def score_images(folder: Path, backend: Backend) -> ImageScores:
    """Score all PNG and TIFF images below a folder.

    Raises
    ------
    ImageError
        If there is no image, or none can be used.
    BackendError
        If the model cannot be run.
    """
    names: list[str] = []
    failures: list[str] = []
    scores, maps = [], []
    for chunk in _chunks(folder, backend.contract.max_batch_size, failures):
        names += [name for name, _ in chunk]
        chunk_scores, chunk_maps = infer_images([image for _, image in chunk], backend)
        scores.append(chunk_scores)
        maps.append(chunk_maps)
    if not names:
        raise ImageError(f"no image in {folder} can be used: {failures[0]}")
    values = tuple(float(score) for score in np.concatenate(scores))
    flagged = tuple(backend.contract.flags(value) for value in values)
    return ImageScores(tuple(names), values, flagged, np.concatenate(maps), tuple(failures))


def write_image_scores(result: ImageScores, backend: Backend, folder: Path, save_maps: bool) -> None:
    """Write `results.json`, and with `save_maps` also `maps.npz`, into an existing folder, each in one step."""
    rows = [
        {"image": name, "score": score, "flagged": flagged}
        for name, score, flagged in zip(result.names, result.scores, result.flagged, strict=True)
    ]
    with replaced_file(folder / RESULTS_FILE) as path:
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    # Maps of an earlier call would have other names than these rows.
    (folder / MAPS_FILE).unlink(missing_ok=True)
    if save_maps:
        contract = backend.contract
        heatmaps = upsample(result.maps, contract.upsampling, contract.resize.size)
        with replaced_file(folder / MAPS_FILE) as path, path.open("wb") as file:
            np.savez_compressed(
                file, names=np.array(result.names), anomaly_map=result.maps, heatmap=heatmaps.astype(np.float32)
            )


def _chunks(folder: Path, size: int, failures: list[str]) -> Iterator[list[tuple[str, GreyImage]]]:
    chunk: list[tuple[str, GreyImage]] = []
    for path in find_images(folder):
        try:
            chunk.append((path.relative_to(folder).as_posix(), read_image(path)))
        except ImageError as error:
            failures.append(str(error))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
