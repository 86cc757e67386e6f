"""What report.json of the export benchmark holds."""

from dataclasses import dataclass

from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.timing.stages import CALIBRATION
from fcdd_runtime.contract import Precision

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
    """Seconds by stage; they add up to `seconds`."""
    artefact_mb: float | None
    """None where the gate refused it."""
    refused: str | None
    """What the gate said."""


@dataclass(frozen=True)
class ExportCost:
    """All runs of one network and precision."""

    network: str
    precision: Precision
    limit_s: float
    limit_mb: float
    within: bool
    """Whether every run kept both limits."""
    runs: tuple[ExportRun, ...]

    @classmethod
    def of(cls, network: str, precision: Precision, runs: tuple[ExportRun, ...]) -> "ExportCost":
        """Hold runs against the limits."""
        limit_mb = LIMIT_LARGE_MB if network == LARGE else LIMIT_MB
        longest_s = max(run.seconds - run.stages[CALIBRATION] for run in runs)
        within = longest_s < LIMIT_S and max(run.peak_mb for run in runs) < limit_mb
        return cls(network, precision, LIMIT_S, limit_mb, within, runs)

    @property
    def name(self) -> str:
        """Such as `FCDD_CNN224 fp16`."""
        return f"{self.network} {self.precision}"

    @property
    def seconds(self) -> Estimate:
        """Time without calibration, which is what the limit is for: median and range."""
        return Estimate.of_runs([run.seconds - run.stages[CALIBRATION] for run in self.runs])

    @property
    def peak_mb(self) -> Estimate:
        """Memory: median and range."""
        return Estimate.of_runs([run.peak_mb for run in self.runs])

    @property
    def refused(self) -> str | None:
        """What the gate said, if it refused a run."""
        return next((run.refused for run in self.runs if run.refused), None)


@dataclass(frozen=True, kw_only=True)
class ExportReport(Report):
    """Exports of drawn weights, each in a process of its own."""

    benchmark: str = "export"
    options: ExportOptions
    exports: tuple[ExportCost, ...]
