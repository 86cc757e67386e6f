"""What report.json of the accuracy benchmark holds."""

from dataclasses import dataclass

import numpy as np

from fcdd_benchmarks.accuracy.operating_point import ProposedPoint
from fcdd_benchmarks.accuracy.statistics import Answers
from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.estimate import NamedEstimate
from fcdd_export.gate.roc import Groups, Labels


@dataclass(frozen=True)
class AccuracyOptions:
    """How answers are judged."""

    prevalence: float
    """Share of anomalies, 0..1, that precision is also given for."""
    sensitivity: float
    """That the proposed operating point shall reach, 0..1."""
    resamples: int
    """Of the bootstrap."""
    round_fp16: bool = False
    """Whether FP16 models in folders run with every tensor rounded to half, as in `open_rounded`."""


@dataclass(frozen=True)
class ImageSet:
    """Which images it was. Names can be a patient's, so there are none: all follows the order of the sorted names."""

    sha256: str
    """As `LabelledImages.sha256`."""
    labels: tuple[int, ...]
    """1 is anomalous."""
    groups: tuple[int, ...] | None
    """Numbers that images of one group, such as a patient, share."""

    def truth(self) -> Labels:
        """Return the labels, bool (N,)."""
        return np.array(self.labels, np.bool_)

    def group_numbers(self) -> Groups | None:
        """Return the groups, integers (N,)."""
        return None if self.groups is None else np.array(self.groups)

    def counts(self) -> str:
        """Say how many there are of each class."""
        anomalous = sum(self.labels)
        counts = f"{len(self.labels) - anomalous} normal and {anomalous} anomalous images"
        return counts if self.groups is None else f"{counts} of {len(set(self.groups))} groups"


@dataclass(frozen=True)
class ModelAccuracy:
    """One model's answers and what they amount to."""

    name: str
    """The contract's, with a number where several have it."""
    network: str
    precision: str
    snapshot_sha256: str
    artefact_sha256: str
    notes: tuple[str, ...]
    """The contract's: a model that was exported against the gate's advice says so."""
    estimates: tuple[NamedEstimate, ...]
    changes: tuple[NamedEstimate, ...]
    """Against the first model; empty for that."""
    scores: tuple[float, ...]
    pixel_aucs: tuple[float | None, ...]
    """ROC AUC of each image's heatmap against its mask; None where there is no mask."""

    def answers(self, images: ImageSet) -> Answers:
        """Return its answers as arrays."""
        return Answers(np.array(self.scores), images.truth(), np.array(self.pixel_aucs, np.float64))


@dataclass(frozen=True, kw_only=True)
class AccuracyReport(Report):
    """What models say of labelled images."""

    benchmark: str = "accuracy"
    options: AccuracyOptions
    images: ImageSet
    models: tuple[ModelAccuracy, ...]
    """At least one; the others are compared with the first."""
    operating_point: ProposedPoint
    """From the first model's scores."""
