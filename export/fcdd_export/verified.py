"""A model that went through the gate, with all that travels with it and all that its report says."""

from collections.abc import Mapping
from dataclasses import dataclass

from fcdd_export.verify import Drift, LayerDrift
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.self_test import GoldenVectors


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


@dataclass(frozen=True)
class VerifiedModel:
    """An artefact that passed the gate, with all that travels with it."""

    contract: ModelContract
    """`artefact` is the file's name; writing it puts the version folder before it."""
    files: Mapping[str, bytes]
    """Name -> contents, of the artefact and what belongs to it."""
    golden: GoldenVectors
    record: ExportRecord
