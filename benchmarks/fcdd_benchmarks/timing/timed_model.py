"""A model whose answers are known: what `fcdd-bench latency` times, in this process or on a server."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_benchmarks.report.page import Section
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores
from fcdd_runtime.backends.golden import GoldenVectors, read_golden
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import GateError

Answer = tuple[Scores, Maps]

SMALL = 0.05
"""Map values are compared as a share of an image's largest, or of this share of the largest of all images."""


@dataclass(frozen=True)
class ModelIdentity:
    """Which model it was, by its contract; of a model on a server by the contract served."""

    label: str
    """Such as `fcdd_fp16, in this process`."""
    name: str
    precision: str
    snapshot_sha256: str
    artefact_sha256: str

    @classmethod
    def of(cls, contract: ModelContract, *, served: bool) -> "ModelIdentity":
        """Take it from a contract."""
        label = f"{contract.name}, {'Triton' if served else 'in this process'}"
        return cls(label, contract.name, contract.precision, contract.snapshot_sha256, contract.artefact_sha256)


def model_section(title: str, models: Sequence[ModelIdentity]) -> Section:
    """Name models by their hashes."""
    headers = ("model", "precision", "snapshot SHA-256", "artefact SHA-256")
    rows = ((model.label, model.precision, model.snapshot_sha256, model.artefact_sha256) for model in models)
    return Section(title, "", headers, tuple(rows))


@dataclass(frozen=True)
class TimedModel:
    """An opened model with its golden vectors, whose images are sent over and over."""

    backend: Backend
    """May be used by several threads at once, as all that `open_folder` and `open_url` give."""
    golden: GoldenVectors
    url: str | None
    """Its address, `grpc://HOST:PORT/MODEL`; None where it runs in this process."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        return ModelIdentity.of(self.backend.contract, served=self.url is not None)

    def batch(self, size: int) -> Batch:
        """Return `size` golden images, from the first again after the last."""
        picks = np.arange(size) % len(self.golden.images)
        return {name: np.ascontiguousarray(images[picks]) for name, images in self.golden.inputs().items()}

    def request(self, size: int) -> Callable[[], Answer]:
        """Return what sends a batch and waits for its answer."""
        batch = self.batch(size)
        return lambda: self.backend.infer(batch)

    def check(self, answers: Iterable[Answer], size: int) -> None:
        """Hold every answer to a batch against the golden vectors.

        Raises
        ------
        GateError
            If a score or map differs by more than the self-test allows: a time for a wrong answer is none.
        """
        picks, limit = np.arange(size) % len(self.golden.images), self.golden.limit
        scores, maps = self.golden.scores[picks], self.golden.maps[picks]
        largest = self.golden.maps.max((1, 2))
        scale = np.maximum(largest, max(SMALL * float(largest.max()), float(np.finfo(np.float32).tiny)))[picks]
        for found, found_maps in answers:
            score_error = float((np.abs(found - scores) / np.maximum(scores, np.finfo(np.float32).tiny)).max())
            error = max(score_error, float((np.abs(found_maps - maps).max((1, 2)) / scale).max()))
            if not error <= limit:
                raise GateError(
                    f"{self.identity.label} answers a batch of {size} otherwise than when it was verified (by "
                    f"{error:.1e}, limit {limit:.0e}), so it is not timed; check it with fcdd-score --self-test"
                )


@contextlib.contextmanager
def opened_folder(folder: Path) -> Iterator[TimedModel]:
    """Open an exported model folder in this process."""
    with open_folder(folder) as backend:
        yield TimedModel(backend, read_golden(folder), None)


@contextlib.contextmanager
def opened_url(url: str) -> Iterator[TimedModel]:
    """Connect to a model on a Triton server; its golden vectors come from there too."""
    with open_url(url) as backend:
        yield TimedModel(backend, backend.golden(), url)
