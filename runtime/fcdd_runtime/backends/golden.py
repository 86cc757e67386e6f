"""Re-checks a model against the golden vectors that travel with it."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fcdd_runtime.backends.base import Backend, Maps, Scores
from fcdd_runtime.contract import GOLDEN_FILE
from fcdd_runtime.errors import ContractError, GateError

MAX_GOLDEN_BYTES = 64 * 2**20
"""Unpacked. An image with its map takes 55 kB, and there are some ten."""


@dataclass(frozen=True)
class GoldenVectors:
    """Drawn images and what the artefact answered for them when it was verified."""

    images: npt.NDArray[np.uint8]
    """uint8 (N, 1, 224, 224)."""
    scores: npt.NDArray[np.float32]
    """float32 (N,)."""
    maps: npt.NDArray[np.float32]
    """float32 (N, 28, 28)."""
    references: npt.NDArray[np.uint8] | None
    """What a two-input network compares the images with, uint8 (N, 1, 224, 224); None for the others."""
    limit: float
    """Largest relative score error, and largest map error as a share of the image's largest map value, that another
    machine may show."""

    def first(self) -> "GoldenVectors":
        """Return the first image alone: enough to see that a model answers, and answers right."""
        references = None if self.references is None else self.references[:1]
        return GoldenVectors(self.images[:1], self.scores[:1], self.maps[:1], references, self.limit)

    def inputs(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Return the images by the name of the input that they belong to."""
        return {"mip": self.images} if self.references is None else {"mip": self.images, "reference": self.references}


@dataclass(frozen=True)
class SelfTest:
    """How far a model's answers are from its golden vectors."""

    images: int
    score_error: float
    """Largest relative score error."""
    map_error: float
    """Largest map error, as a share of that image's largest golden map value; maps that stay below 5 % of the set's
    largest value, as Grad-CAM's can, count as that much."""
    limit: float
    """What both may be at most."""


def read_golden(folder: Path) -> GoldenVectors:
    """Read the golden vectors of an exported model folder.

    Raises
    ------
    ContractError
        If they are missing or damaged.
    """
    try:
        data = (folder / GOLDEN_FILE).read_bytes()
    except OSError as error:
        raise ContractError(f"{folder} has no readable {GOLDEN_FILE}; export the model again") from error
    return golden_from_bytes(data)


def golden_from_bytes(data: bytes) -> GoldenVectors:
    """Decode golden vectors.

    Raises
    ------
    ContractError
        If they are damaged.
    """
    try:
        _check_unpacked_size(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            references = arrays.get("reference")
            limit = float(arrays["limit"])
            golden = GoldenVectors(arrays["mip"], arrays["score"], arrays["anomaly_map"], references, limit)
    except Exception as error:  # a damaged archive raises almost anything
        raise ContractError("the model's golden vectors are damaged; export the model again") from error
    count = len(golden.images) if golden.images.ndim == 4 else 0
    images = golden.inputs().values()
    fitting = all(image.dtype == np.uint8 and image.shape == golden.images.shape for image in images)
    if (
        not count
        or not fitting
        or not 0 < golden.limit <= 10
        or golden.scores.shape != (count,)
        or len(golden.maps) != count
    ):
        raise ContractError("the model's golden vectors do not fit together; export the model again")
    return golden


def _check_unpacked_size(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_GOLDEN_BYTES:
            raise ValueError("too large")


def golden_to_bytes(golden: GoldenVectors) -> bytes:
    """Encode golden vectors as an .npz archive; the same vectors always give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **golden.inputs(), score=golden.scores, anomaly_map=golden.maps, limit=golden.limit)
    return buffer.getvalue()


def self_test(backend: Backend, golden: GoldenVectors) -> SelfTest:
    """Run the golden images one by one and compare.

    Raises
    ------
    GateError
        If an answer differs by more than the golden vectors allow.
    ContractError
        If the golden vectors are those of a network with other inputs.
    """
    inputs = golden.inputs()
    if tuple(inputs) != backend.contract.inputs:
        raise ContractError("the golden vectors are not those of this model; export the model again")
    answers = [
        backend.infer({name: images[index : index + 1] for name, images in inputs.items()})
        for index in range(len(golden.images))
    ]
    scores = np.concatenate([score for score, _ in answers])
    maps = np.concatenate([anomaly_map for _, anomaly_map in answers])
    result = SelfTest(len(scores), *errors_between((scores, maps), golden), golden.limit)
    if not max(result.score_error, result.map_error) <= result.limit:
        raise GateError(
            f"{backend.contract.name} is not the model that was verified: scores differ by {result.score_error:.1e}, "
            f"maps by {result.map_error:.1e}, limit {result.limit:.0e}; export it again or repair this machine"
        )
    return result


def errors_between(answers: tuple[Scores, Maps], golden: GoldenVectors) -> tuple[float, float]:
    """Return the largest score and map errors of answers for the golden images, as `SelfTest` has them."""
    scores, maps = answers
    tiny = float(np.finfo(np.float32).tiny)
    score_error = (np.abs(scores - golden.scores) / np.maximum(golden.scores, tiny)).max()
    largest: npt.NDArray[np.float32] = golden.maps.max((1, 2))
    map_scale = np.maximum(largest, np.float32(max(0.05 * float(largest.max()), tiny)))
    map_error = (np.abs(maps - golden.maps).max((1, 2)) / map_scale).max()
    return float(score_error), float(map_error)
