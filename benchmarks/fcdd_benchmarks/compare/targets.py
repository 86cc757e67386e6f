"""What the figures of a comparison should reach, and whether they do."""

from dataclasses import dataclass
from typing import Literal

from fcdd_benchmarks.compare.contestants import OURS, OURS_BY_PRECISION
from fcdd_benchmarks.compare.run import CompareOptions, CompareResult
from fcdd_benchmarks.timing.summary import Percentile

VGG_NETWORKS = frozenset({"FCDD_CNN224_VGG_NOPT", "FCDD_CNN224_VGG", "FCDD_CNN224_VGG_F"})
"""That the targets are set for: VGG11's trunk. Smaller networks spend other shares of their time outside of it."""
OVERHEAD_BATCH = 8
TARGET_TEXT = (
    "Ratios of medians of the same rounds. A figure meets its target by its value; “within the noise” says that its "
    "interval holds the target, so that another run could say the opposite."
)


@dataclass(frozen=True)
class Target:
    """A figure, and what it should be."""

    name: str
    """Such as `FP32, times OpenVINO FP32`."""
    target: str
    """Such as `at most 1.05`."""
    figure: Percentile | None
    """None where it was not measured."""
    verdict: str
    """`met` or `not met`, with `within the noise` where that could be chance; or why there is no figure."""


def targets_of(options: CompareOptions, result: CompareResult) -> tuple[Target, ...]:
    """Hold a comparison of VGG11's trunk against the targets; other networks have none."""
    if options.snapshot.net not in VGG_NETWORKS:
        return ()
    overhead = result.client_overhead_ms if options.batch == OVERHEAD_BATCH else None
    int8 = OURS_BY_PRECISION["int8"]
    return (
        _target("FP32, times bare ONNX Runtime FP32", "at most", 1.05, _inverse(_ratio(result, "ONNX Runtime FP32"))),
        _target("FP32, times OpenVINO FP32", "at most", 1.05, _inverse(_ratio(result, "OpenVINO FP32"))),
        _target("speed of INT8, times our FP32", "at least", 2.5, _inverse(_ratio(result, int8))),
        _target("INT8, times OpenVINO INT8", "at most", 1.15, _inverse(_in_precision(result, "OpenVINO INT8"))),
        _target("heatmaps, speed times the published way", "at least", 50.0, result.heatmap_ratio),
        _target(f"cost of a call to Triton, batch {OVERHEAD_BATCH}, ms", "at most", 1.0, overhead),
    )


def _ratio(result: CompareResult, name: str) -> Percentile | None:
    place = result.place(name)
    return None if place is None or result.place(OURS) is None else place.ratio


def _in_precision(result: CompareResult, name: str) -> Percentile | None:
    place = result.place(name)
    return None if place is None else place.ratio_in_precision


def _inverse(ratio: Percentile | None) -> Percentile | None:
    """Turn their time as a multiple of ours into ours as a multiple of theirs."""
    return None if ratio is None else Percentile(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def _target(name: str, side: Literal["at most", "at least"], limit: float, figure: Percentile | None) -> Target:
    if figure is None:
        return Target(name, f"{side} {limit:g}", None, "not measured")
    reached = figure.value <= limit if side == "at most" else figure.value >= limit
    verdict = "met" if reached else "not met"
    noise = ", within the noise" if figure.low <= limit <= figure.high else ""
    return Target(name, f"{side} {limit:g}", figure, verdict + noise)
