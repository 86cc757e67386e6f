"""What fcdd-export costs: time, memory and size for every published architecture and precision."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fcdd_benchmarks.timing.drawn_snapshot import write_drawn_snapshot
from fcdd_benchmarks.timing.measured_command import CommandFacts, measured
from fcdd_benchmarks.timing.stages import CALIBRATION, EXPORT_STAGES, WHOLE
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.int8.quantize import IMAGES_USED
from fcdd_export.networks.registry import NETWORKS
from fcdd_runtime.contract import Precision, read_contract
from fcdd_runtime.errors import BackendError, GateError, SnapshotError

PROGRAM = "fcdd-export by stage"
START, REST = "start and imports", "rest"
STAGES = (START, *(one.stage for one in EXPORT_STAGES if one.stage != WHOLE), REST)

ARCHITECTURES = ("FCDD_CNN224", "FCDD_CNN224_W", "FCDD_CNN224_VGG_NOPT", "CNN224_CROP", "VGG_BCE_CROP")
LARGE = "FCDD_REF_CNN224_VGG_NOPT"
"""134 million weights; the others have up to 10."""
LIMIT_S = 60.0
"""Of a precision, calibration apart."""
LIMIT_MB, LIMIT_LARGE_MB = 2500.0, 6000.0


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and how often."""

    networks: tuple[str, ...]
    """Published class names."""
    precisions: tuple[Precision, ...]
    target: str
    """As in fcdd-export."""
    repeats: int


@dataclass(frozen=True)
class ExportRun:
    """One process."""

    seconds: float
    """From its start to its end."""
    peak_mb: float
    """Largest resident memory, MB (1e6 bytes)."""
    stages: dict[str, float]
    """Seconds by `STAGES`; they add up to `seconds`."""
    artefact_mb: float | None
    """None where the gate refused it."""
    refused: str | None
    """What the gate said."""


@dataclass(frozen=True)
class ExportCost:
    """All runs of one network and precision."""

    network: str
    precision: Precision
    runs: tuple[ExportRun, ...]

    @property
    def seconds_to_limit(self) -> tuple[float, ...]:
        """Time of each run without calibration, which is what the limit is for."""
        return tuple(run.seconds - run.stages[CALIBRATION] for run in self.runs)

    @property
    def limit_mb(self) -> float:
        """Limit of the memory."""
        return LIMIT_LARGE_MB if self.network == LARGE else LIMIT_MB

    @property
    def within(self) -> bool:
        """Whether every run kept both limits."""
        return max(self.seconds_to_limit) < LIMIT_S and max(run.peak_mb for run in self.runs) < self.limit_mb


def named_networks(names: Sequence[str]) -> tuple[str, ...]:
    """Return the networks to export: those named, else one of each architecture.

    Raises
    ------
    SnapshotError
        If a name is none of a published network that we take.
    """
    for name in names:
        if name not in NETWORKS:
            raise SnapshotError(f"no published network that we take is called {name!r}; take of {', '.join(NETWORKS)}")
    return tuple(dict.fromkeys(names)) or (*ARCHITECTURES, LARGE)


def measure_exports(options: ExportOptions) -> list[ExportCost]:
    """Write snapshots of drawn weights and export them, each time in a fresh process.

    Raises
    ------
    BackendError
        If an export fails for another reason than the gate.
    GateError
        If the gate refuses FP32 of drawn weights, whose graph computes what torch does.
    """
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        images = _write_calibration_images(Path(scratch) / "images")
        return [cost for net in options.networks for cost in _costs(net, options, images, Path(scratch) / net)]


def _write_calibration_images(folder: Path) -> Path:
    folder.mkdir()
    for index, image in enumerate(drawn_images(IMAGES_USED["fast"], seed=3)[:, 0]):
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return folder


def _costs(net: str, options: ExportOptions, images: Path, folder: Path) -> list[ExportCost]:
    snapshot = write_drawn_snapshot(folder / "snapshot", {"net": net, "objective": NETWORKS[net].objectives[0]})
    found = []
    for precision in options.precisions:
        arguments = [str(snapshot), "--precision", precision, "--target", options.target]
        arguments += ["--calibration-images", str(images)] if precision == "int8" else []
        runs = tuple(_run(arguments, folder / f"{precision}{number}") for number in range(options.repeats))
        found.append(ExportCost(net, precision, runs))
    _check_fp32(found)
    return found


def _run(arguments: Sequence[str], repository: Path) -> ExportRun:
    facts = measured(PROGRAM, [*arguments, "--repo", str(repository)])
    refused = facts.exit_code == GateError.exit_code
    if facts.exit_code and not refused:
        raise BackendError(f"fcdd-export failed: {facts.output[-500:]}")
    artefact = None if refused else _artefact_mb(repository)
    return ExportRun(facts.process_s, facts.peak_mb, _stages(facts), artefact, _reason(facts) if refused else None)


def _artefact_mb(repository: Path) -> float:
    [contract] = repository.glob("*/contract.json")
    return (contract.parent / read_contract(contract.parent).artefact).stat().st_size / 1e6


def _reason(facts: CommandFacts) -> str:
    lines = facts.output.splitlines()
    return next((line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")), "refused by the gate")


def _stages(facts: CommandFacts) -> dict[str, float]:
    whole = facts.whole
    if whole is None:
        raise BackendError(f"fcdd-export ended before it began: {facts.output[-500:]}")
    found = dict.fromkeys(STAGES, 0.0) | {START: facts.process_s - whole.whole_s, REST: whole.wall_s}
    for span in facts.spans:
        if span.stage != WHOLE:
            found[span.stage] += span.wall_s
    return found


def _check_fp32(costs: Sequence[ExportCost]) -> None:
    for cost in costs:
        reason = next((run.refused for run in cost.runs if run.refused), None)
        if cost.precision == "fp32" and reason:
            raise GateError(f"{cost.network} in FP32 is refused by the gate ({reason}), so its cost says nothing")


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, smallest and largest."""
    return float(np.median(values)), min(values), max(values)
