"""What report.json of the comparison holds, and what its figures should reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fcdd_benchmarks.report.document import Report
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_export.gate.drift import Drift

OURS = "fcdd-edge FP32"
OURS_BY_PRECISION = {"fp32": OURS, "int8": "fcdd-edge INT8"}
SEPARABLE, TRANSPOSED = "heatmaps, separable (ours)", "heatmaps, transposed convolution (as published)"
VGG_NETWORKS = frozenset({"FCDD_CNN224_VGG_NOPT", "FCDD_CNN224_VGG", "FCDD_CNN224_VGG_F"})
"""That the targets are set for: VGG11's trunk. Smaller networks spend other shares of their time outside of it."""
OVERHEAD_BATCH = 8
Kind = Literal["drawn", "given"]
"""Of images."""


@dataclass(frozen=True)
class CompareOptions:
    """What is compared."""

    net: str
    """Class name of the published network."""
    snapshot_sha256: str
    batch: int
    repeats: int
    """Rounds in which everybody has a turn."""
    int8: bool
    """Whether INT8, made by the fast method, takes part."""
    accurate_int8: bool = False
    """Whether INT8 by the accurate method, which takes minutes to make, takes part too."""
    images: Kind = "drawn"
    """MIPs to check and time on."""
    calibration_images: Kind = "drawn"
    """For INT8's scales."""


@dataclass(frozen=True)
class ContenderTiming:
    """One contender's figures, of a batch."""

    samples: int
    median_ms: Estimate
    mean_ms: float
    max_ms: float
    spread: float
    """As in `TimingSummary`."""
    noisy: bool
    ratio: Estimate
    """Median time as a multiple of ours in FP32."""
    ratio_in_precision: Estimate | None
    """The same against ours of the same precision; None where that was not timed."""


@dataclass(frozen=True)
class ContenderResult:
    """One way to run the network: what it answers and how long it takes."""

    name: str
    precision: str
    """`fp32` or `int8`: whose limits it must keep."""
    drift: Drift
    """From torch in FP32, computing as published."""
    refused: str | None
    """Which limits it exceeds; None: it is timed."""
    timing: ContenderTiming | None


@dataclass(frozen=True)
class Int8Form:
    """What one of our ways to make INT8 costs before anything is timed."""

    name: str
    """The contender's."""
    seconds: float
    """To make the graph from the network and the calibration images."""
    share: float
    """Of the multiply-adds in INT8, 0..1."""


@dataclass(frozen=True)
class HeatmapTimes:
    """A batch's heatmaps, both ways."""

    ms: dict[str, float]
    """Median, of `SEPARABLE` and `TRANSPOSED`."""
    ratio: Estimate
    """The transposed convolution's time as a multiple of ours."""
    error: float
    """Largest difference of the two, as a share of the largest value."""


@dataclass(frozen=True)
class SpeedTarget:
    """A figure, and what it should be."""

    name: str
    """Such as `FP32, times OpenVINO FP32`."""
    target: str
    """Such as `at most 1.05`."""
    figure: Estimate | None
    """None where it was not measured."""
    verdict: str
    """`met` or `not met`, with `within the noise` where that could be chance; or why there is no figure."""


@dataclass(frozen=True, kw_only=True)
class CompareReport(Report):
    """One snapshot's network through several runtimes."""

    benchmark: str = "compare"
    options: CompareOptions
    contenders: tuple[ContenderResult, ...]
    """Ours in FP32 first."""
    absent: dict[str, str]
    """Who could not take part, and why."""
    int8_forms: tuple[Int8Form, ...]
    """What our INT8 costs to make."""
    targets: tuple[SpeedTarget, ...]
    images: int
    """That everybody was checked on."""
    torch_threads: int
    """The other runtimes choose theirs."""
    heatmaps: HeatmapTimes
    client_overhead_ms: Estimate | None
    """What a call to Triton costs beyond the model; None without a server."""


def targets_of(
    options: CompareOptions, contenders: Sequence[ContenderResult], heatmaps: HeatmapTimes, overhead: Estimate | None
) -> tuple[SpeedTarget, ...]:
    """Hold a comparison of VGG11's trunk against the targets; other networks have none."""
    if options.net not in VGG_NETWORKS:
        return ()
    timed = {contender.name: contender.timing for contender in contenders if contender.timing is not None}

    def speed(name: str, *, in_precision: bool = False) -> Estimate | None:
        """Turn their time as a multiple of ours into ours as a multiple of theirs."""
        ratio = timed[name].ratio if name in timed and OURS in timed else None
        if in_precision:
            ratio = timed[name].ratio_in_precision if name in timed else None
        return None if ratio is None else ratio.reciprocal()

    return (
        _target("FP32, times bare ONNX Runtime FP32", "at most", 1.05, speed("ONNX Runtime FP32")),
        _target("FP32, times OpenVINO FP32", "at most", 1.05, speed("OpenVINO FP32")),
        _target("speed of INT8, times our FP32", "at least", 2.5, speed(OURS_BY_PRECISION["int8"])),
        _target("INT8, times OpenVINO INT8", "at most", 1.15, speed("OpenVINO INT8", in_precision=True)),
        _target("heatmaps, speed times the published way", "at least", 50.0, heatmaps.ratio),
        _target(
            f"cost of a call to Triton, batch {OVERHEAD_BATCH}, ms",
            "at most",
            1.0,
            overhead if options.batch == OVERHEAD_BATCH else None,
        ),
    )


def _target(name: str, side: Literal["at most", "at least"], limit: float, figure: Estimate | None) -> SpeedTarget:
    if figure is None:
        return SpeedTarget(name, f"{side} {limit:g}", None, "not measured")
    reached = figure.value <= limit if side == "at most" else figure.value >= limit
    noise = ", within the noise" if figure.low <= limit <= figure.high else ""
    return SpeedTarget(name, f"{side} {limit:g}", figure, ("met" if reached else "not met") + noise)
