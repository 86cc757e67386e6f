"""What report.json of the study benchmark holds."""

from dataclasses import dataclass

from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.study.drawn_study import StudyShape
from fcdd_benchmarks.timing.timed_model import ModelIdentity


@dataclass(frozen=True, kw_only=True)
class StudyOptions(StudyShape):
    """What is drawn, and how often it is read and scored. Of each study the first two phases are subtracted."""

    repeats: int
    """Processes a way to the MIP; every one reads a study three times and reports its median."""
    studies: int
    """At least two, all different."""
    model: str | None = None
    """Name of the folder of the model that scores in this process; None: one on a server, or none."""
    url: str | None = None
    """Of a model on a server."""
    dicom: bool = False
    """Write the DICOM objects, too."""
    rounds: int | None = None
    """Of scoring; None: studies are read to their MIP only."""


@dataclass(frozen=True)
class MipTiming:
    """One way from files to a MIP."""

    name: str
    median_ms: float
    lowest_ms: float
    highest_ms: float
    over_mb: float
    """Largest resident memory over that after the imports, MB (1e6 bytes), median of the processes."""
    peak_mb: float
    """Largest resident memory of the process, likewise."""
    ratio: Estimate
    """Median time as a multiple of ours, with its interval over processes."""


@dataclass(frozen=True)
class StageFigures:
    """One stage, ms a study, means over the rounds."""

    stage: str
    one_ms: float
    """Wall time where a process scores one study."""
    one_cpu_ms: float
    many_ms: float
    """Wall time a study where a process scores all of them."""
    many_cpu_ms: float
    many_share: float
    """Of the wall time of all studies."""


@dataclass(frozen=True)
class ScoringFigures:
    """What fcdd-score takes. Estimates of memory and start are medians with the range of the rounds."""

    model: str
    """Such as `fcdd_fp16, in this process`."""
    studies: int
    studies_per_hour: Estimate
    """Of the runs of many studies."""
    many_ms: Estimate
    """Mean wall time a study there."""
    one_ms: Estimate
    """Wall time where a process scores one study, without its start."""
    start_ms: Estimate
    """Start and end of a process."""
    stages: tuple[StageFigures, ...]
    """In the order of the flow; the rest last."""
    clock_share: float
    """How much longer runs by stage took than runs as a whole, as a share."""
    spread: float
    """Largest minus smallest mean time a study among the rounds, as a share of the mean."""
    ready_mb: Estimate
    """Resident memory with everything imported and opened."""
    one_over_mb: Estimate
    """Largest resident memory over that, one study."""
    many_over_mb: Estimate
    peak_mb: Estimate
    """Largest resident memory of a process, many studies."""


@dataclass(frozen=True, kw_only=True)
class StudyReport(Report):
    """Drawn studies, from DICOM files to the MIP and to the result."""

    benchmark: str = "study"
    options: StudyOptions
    models: tuple[ModelIdentity, ...]
    """The one that scored, or none."""
    timings: tuple[MipTiming, ...]
    """Ours first."""
    scoring: ScoringFigures | None
