"""A model that went through the gate, with all that travels with it and all that its report says."""

from collections.abc import Mapping
from dataclasses import dataclass

from fcdd_export.gate.drift import Drift, LayerDrift
from fcdd_runtime.backends.golden import GoldenVectors
from fcdd_runtime.contract import ModelContract


@dataclass(frozen=True)
class ImageFacts:
    """Which images a model was verified on, without anything that names a patient."""

    folder: str | None
    """Name of the folder, without the path to it; None: the images were drawn."""
    images: int
    classes: dict[str, int] | None
    """Images `normal` and `anomalous`; None without labels."""
    references: str | None
    """What two-input networks compared the images with; None for the others."""
    sha256: str
    """Over the pixels that the network was given, uint8 (N, 1, 224, 224) in the order of the images' paths, those of
    the references behind."""


@dataclass(frozen=True)
class ExportRecord:
    """What a report says of an export beside the contract."""

    command: str
    """The command line."""
    machine: str
    """Processor, GPU and operating system that it ran on."""
    seconds: float
    """Conversion to the precision, and verification."""
    peak_memory_mb: float
    """Largest resident memory of the process until then, MB (1e6 bytes)."""
    drifts: tuple[Drift, ...]
    layers: tuple[LayerDrift, ...]
    """Where most of the drift enters, the worst first."""
    accepted: tuple[str, ...] = ()
    """Limits that were exceeded and accepted."""
    method: Mapping[str, str | float] | None = None
    """How INT8 was made; None for other precisions."""
    engine: Mapping[str, str] | None = None
    """What the engine was built by, for and from; None for other artefacts."""
    verification: ImageFacts | None = None
    """None in reports of earlier releases."""


@dataclass(frozen=True)
class ProvenModel:
    """An artefact that passed the gate, with all that travels with it."""

    contract: ModelContract
    """`artefact` is the file's name; writing it puts the version folder before it."""
    files: Mapping[str, bytes]
    """Name -> contents, of the artefact and what belongs to it."""
    golden: GoldenVectors
    record: ExportRecord
