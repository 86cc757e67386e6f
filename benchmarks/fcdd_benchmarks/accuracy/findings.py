"""What the accuracy benchmark is asked for, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fcdd_benchmarks.accuracy.labelled_images import LabelledImages
from fcdd_benchmarks.accuracy.operating_point import ProposedPoint
from fcdd_benchmarks.accuracy.statistics import Answers, Estimate
from fcdd_export.gate.roc import Picks
from fcdd_runtime.contract import ModelContract


@dataclass(frozen=True)
class AccuracyOptions:
    """What is measured on what."""

    images: Path
    """Folder with `normal` and `anomalous`."""
    models: tuple[Path, ...]
    """Exported model folders. The first of all models is the one that the others are compared with."""
    urls: tuple[str, ...]
    """Models on servers, after the folders."""
    masks: Path | None
    """As in `read_labelled_images`."""
    groups: Path | None
    """As in `read_labelled_images`."""
    reference: Path | None
    """What two-input networks compare the images with, as in `fcdd-score --reference`."""
    prevalence: float
    """Share of anomalies, 0..1, that precision is also given for."""
    sensitivity: float
    """That the proposed operating point shall reach, 0..1."""
    resamples: int
    """Of the bootstrap."""
    round_fp16: bool = False
    """Whether FP16 models in folders run with every tensor rounded to half, as in `open_rounded`."""


@dataclass(frozen=True)
class ModelAccuracy:
    """One model's answers and what they amount to."""

    name: str
    """The contract's, with a number where several have it."""
    contract: ModelContract
    answers: Answers
    estimates: tuple[Estimate, ...]
    changes: tuple[Estimate, ...]
    """Against the first model; empty for that."""


@dataclass(frozen=True)
class AccuracyFindings:
    """All that the report is made of."""

    options: AccuracyOptions
    images: LabelledImages
    models: Sequence[ModelAccuracy]
    """At least one; the others are compared with the first."""
    point: ProposedPoint
    """From the first model's scores."""
    picks: Sequence[Picks]
    """The resamples, the same for all models."""
