"""What report.json of a drift holds."""

from dataclasses import dataclass
from typing import Literal

from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.estimate import Metric, NamedEstimate

Verdict = Literal["worse", "better", "same", "gone", "not compared"]
LEAST_CHANGE = 1e-4
"""Change of a figure without a unit that is never called one: one step of the fourth and last decimal that reports
print. The same network on another processor or library differs in the last bits of its maps, which swaps a few pixels
that were nearly equal in every image; a paired interval of such a change has next to no width and never holds 0."""


@dataclass(frozen=True)
class DriftOptions:
    """What counts as worse."""

    slower_by: float
    """Share of the former figure that a figure with a unit may change by on top of the noise: machines differ from day
    to day by more than one run shows."""
    less_accurate_by: float
    """By how much a figure without a unit (0..1) may change on top of the noise; at least `LEAST_CHANGE`."""

    def allowed(self, metric: Metric) -> float:
        """Return by how much a figure may change on top of the noise, in its unit."""
        return self.slower_by * abs(metric.value) if metric.unit else max(self.less_accurate_by, LEAST_CHANGE)


@dataclass(frozen=True)
class FigureChange:
    """What became of one figure."""

    metric: Metric
    """As it was."""
    new: float | None
    """None if the new report does not have it."""
    change: NamedEstimate | None
    """New minus former, with its 95 % interval."""
    verdict: Verdict
    """`worse` or `better`: the whole interval lies beyond what is allowed; `gone`: nothing to compare with;
    `not compared`: measured again, but with too few samples for this figure."""


@dataclass(frozen=True)
class FallenImage:
    """One anomalous image that fell below the threshold."""

    place: int
    """Among the anomalous images in the order of their sorted names, from 1. Reports hold no names."""
    before: float
    now: float


@dataclass(frozen=True)
class LostImages:
    """What became of the anomalous images that the base report's model flagged."""

    model: str
    threshold: float
    """Proposed by the base report's scores of this model, for the sensitivity that the report names."""
    flagged: int
    """Anomalous images at or above the threshold in the base report."""
    lost: tuple[FallenImage, ...]
    """Below it in the new report."""
    at_the_edge: tuple[FallenImage, ...]
    """Below it too, by so small a change that rounding decides; not in `lost`."""
    gained: int
    """Anomalous images that only the new report's model flags; they make up for no lost one."""

    @property
    def words(self) -> str:
        """Say how many were lost."""
        verb = "is" if len(self.lost) == 1 else "are"
        return f"{self.model}: {len(self.lost)} of {self.flagged} flagged anomalous images {verb} no longer flagged"


@dataclass(frozen=True, kw_only=True)
class DriftReport(Report):
    """All figures of two reports of a kind."""

    benchmark: str = "drift"
    of: str
    """Their kind."""
    base_sha256: str
    new_sha256: str
    paired: bool
    """Whether both judged the same images, so that changes were resampled by image."""
    options: DriftOptions
    changes: tuple[FigureChange, ...]
    lost_images: tuple[LostImages, ...]
    """For each model of two accuracy reports of the same images; empty for others."""
    worse: tuple[str, ...]
    """What fails the gate: models that lost anomalous images, in words; names of figures worse or gone."""
