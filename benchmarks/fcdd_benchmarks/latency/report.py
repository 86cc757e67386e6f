"""What report.json of the latency benchmark holds."""

from dataclasses import dataclass

from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.timing.summary import TimingSummary
from fcdd_benchmarks.timing.timed_model import ModelIdentity
from fcdd_benchmarks.timing.triton_split import Split


@dataclass(frozen=True)
class LatencyOptions:
    """What is run."""

    models: tuple[str, ...]
    """Names of the folders of models run in this process."""
    urls: tuple[str, ...]
    """Models on Triton servers, `grpc://HOST:PORT/MODEL`."""
    batches: tuple[int, ...]
    concurrencies: tuple[int, ...]
    """Requests under way at once."""
    seconds: float
    """Each point, after warming up."""
    rates: tuple[float, ...] = ()
    """Of open loops, requests of the smallest batch a second."""
    p99_limit_ms: float | None = None
    """The highest rate that keeps p99 below is looked for; None: it is not."""


@dataclass(frozen=True)
class Point:
    """One closed loop."""

    model: str
    batch: int
    concurrency: int
    summary: TimingSummary
    images_per_second: float
    throughput: Estimate
    """The same, with its 95 % interval."""
    warm: bool
    """Whether the median held still before the measurement."""
    split: Split | None
    """None for models in this process."""

    @property
    def where(self) -> str:
        """What its metrics' names begin with."""
        return f"{self.model}, batch {self.batch}, concurrency {self.concurrency}"


@dataclass(frozen=True)
class OpenPoint:
    """One open loop."""

    model: str
    batch: int
    rate: float
    """Requests a second that were to arrive."""
    summary: TimingSummary | None
    """From arrival to answer; None where too few were answered before it was given up."""
    gave_up: bool
    """Whether requests piled up."""

    def keeps(self, p99_limit_ms: float) -> bool:
        """Return whether its p99 is known and below a limit."""
        p99 = None if self.summary is None else self.summary.p99
        return not self.gave_up and p99 is not None and p99.value <= p99_limit_ms


@dataclass(frozen=True)
class RateLimit:
    """The highest rate that keeps p99 below a limit."""

    model: str
    batch: int
    p99_limit_ms: float
    rate: float | None
    """Requests a second; None: none was found."""
    failed_rate: float | None
    """The lowest rate that failed twice; None: none did, so that the highest is at least `rate`, or none was tried."""
    tried: tuple[OpenPoint, ...]


@dataclass(frozen=True, kw_only=True)
class LatencyReport(Report):
    """Loops of requests at models, one model after the other."""

    benchmark: str = "latency"
    options: LatencyOptions
    models: tuple[ModelIdentity, ...]
    points: tuple[Point, ...]
    open_loops: tuple[OpenPoint, ...]
    rate_limits: tuple[RateLimit, ...]
