"""One snapshot's network through PyTorch, ONNX Runtime, OpenVINO and ours: same images, in turns, as ratios."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fcdd_benchmarks.compare.answers import Checked, Images, checked
from fcdd_benchmarks.compare.contestants import (
    OURS,
    OURS_BY_PRECISION,
    Contest,
    Int8Form,
    PublishedScoring,
    contest,
    torch_run,
)
from fcdd_benchmarks.compare.triton_overhead import client_overhead_ms
from fcdd_benchmarks.compare.upsampling import check_upsampling, transposed
from fcdd_benchmarks.timing.interleaved import interleaved_ms
from fcdd_benchmarks.timing.measured_peak import float32_product, int8_product, share_of_peak
from fcdd_benchmarks.timing.summary import Percentile, TimingSummary, ratio_of_medians, summary_of
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.drift import Outputs, ReferenceAnswers
from fcdd_export.int8.quantize import Method
from fcdd_export.networks.normals import images_in
from fcdd_export.networks.registry import upsampling_of
from fcdd_export.networks.snapshot import Normalization, Snapshot
from fcdd_runtime.errors import GateError
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.network_input import stack_images

PRODUCTS = {"fp32": "float32 matrix product", "int8": "INT8 matrix product"}
HEATMAP_ROUNDS = 50
"""At least; they are short."""
UPSAMPLING = ("heatmaps, separable (ours)", "heatmaps, transposed convolution (as published)")
FEWEST_IMAGES = 16
DRAWN_CALIBRATION = 64


@dataclass(frozen=True)
class CompareOptions:
    """What is compared."""

    snapshot: Snapshot
    normalization: Normalization
    images: Path | None
    """MIPs to check and time on; None: drawn ones."""
    calibration_images: Path | None
    """For INT8's scales; None: drawn ones."""
    batch: int
    repeats: int
    """Rounds in which everybody has a turn."""
    int8: bool
    """Whether to take part with INT8, made by the fast method."""
    accurate_int8: bool
    """Whether INT8 by the accurate method, which takes minutes to make, takes part too."""
    url: str | None
    """A model on a Triton server, to measure what a call costs beyond the model."""


@dataclass(frozen=True)
class Place:
    """One contender's figures."""

    name: str
    precision: str
    summary: TimingSummary
    """Of a batch."""
    ratio: Percentile
    """Median time as a multiple of ours in FP32."""
    ratio_in_precision: Percentile | None
    """The same against ours of the same precision; None where that was not timed."""
    peak_share: float
    """Arithmetic per median time as a share of the fastest large matrix product of the same precision, timed in the
    same rounds."""


@dataclass(frozen=True)
class CompareResult:
    """What was measured."""

    images: int
    """That everybody was checked on."""
    checks: tuple[Checked, ...]
    places: tuple[Place, ...]
    """Of those who passed."""
    absent: dict[str, str]
    """Who could not take part, and why."""
    multiply_adds: int
    """Of one image."""
    int8_forms: tuple[Int8Form, ...]
    """What our INT8 costs to make."""
    products_ms: dict[str, float]
    """Shortest time of the matrix products by precision: what the machine can do when nothing disturbs it."""
    threads: int
    """Of torch; the other runtimes choose theirs."""
    heatmap_ms: dict[str, float]
    """Median time of a batch's heatmaps, by `UPSAMPLING`."""
    heatmap_ratio: Percentile
    """The transposed convolution's time as a multiple of ours."""
    heatmap_error: float
    """Largest difference of the two, as a share of the largest value."""
    client_overhead_ms: Percentile | None
    """None without a server."""

    def place(self, name: str) -> Place | None:
        """Return a contender's figures; None if it was not timed."""
        return next((place for place in self.places if place.name == name), None)


def measure_comparison(options: CompareOptions) -> CompareResult:
    """Make all contenders, check them, and time those that passed.

    Raises
    ------
    GateError
        If our own FP32 does not pass: there is nothing to compare with then.
    SnapshotError, ImageError, BackendError
        If something given cannot be used.
    """
    reference = _reference(options)
    calibration = _images(options.calibration_images, options.snapshot, DRAWN_CALIBRATION) if options.int8 else None
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        methods: tuple[Method, ...] = ("fast", "accurate") if options.accurate_int8 else ("fast",)
        found = contest(options.snapshot, options.normalization, calibration, Path(scratch), methods)
        field = _Field(found, reference, tuple(checked(one, reference, options.batch) for one in found.contenders))
        if (refusal := field.checks[0].refused) is not None:
            raise GateError(f"{OURS} does not answer as torch does ({refusal}), so nothing is timed; export it again")
        times = interleaved_ms(_calls(field, options.batch), options.repeats)
        # Apart from the others, whose worker threads spin on when they are done: a heatmap takes no longer than that.
        times |= interleaved_ms(_upsamplings(field.reference, options.batch), max(options.repeats, HEATMAP_ROUNDS))
    overhead = None if options.url is None else client_overhead_ms(options.url, options.batch, options.repeats)
    return _result(options, field, times, overhead)


@dataclass(frozen=True)
class _Field:
    """Who takes part, on what, and who may be timed."""

    contest: Contest
    reference: ReferenceAnswers
    checks: tuple[Checked, ...]
    """Ours in FP32 first."""


def _reference(options: CompareOptions) -> ReferenceAnswers:
    """Run the published computation in torch on images whose number is a multiple of the batch."""
    images = _images(options.images, options.snapshot, FEWEST_IMAGES)
    batches = -(-max(len(images), FEWEST_IMAGES) // options.batch)
    images = np.resize(images, (batches * options.batch, *images.shape[1:]))
    run = torch_run(PublishedScoring(options.snapshot.network, options.normalization))
    parts = [run(images[start : start + options.batch]) for start in range(0, len(images), options.batch)]
    scores, maps = (np.concatenate(one) for one in zip(*parts, strict=True))
    upsampling = upsampling_of(options.snapshot.net, options.snapshot.gauss_std)
    return ReferenceAnswers({"mip": images}, Outputs(scores, maps), upsampling, options.snapshot.resize.size)


def _images(folder: Path | None, snapshot: Snapshot, drawn: int) -> Images:
    return drawn_images(drawn, seed=3) if folder is None else stack_images(images_in(folder), snapshot.resize)


def _calls(field: _Field, batch: int) -> dict[str, Callable[[], object]]:
    """Return everything that has a turn in a round: contenders and matrix products."""
    images = np.ascontiguousarray(field.reference.inputs["mip"][:batch])
    calls: dict[str, Callable[[], object]] = {PRODUCTS["fp32"]: float32_product(), PRODUCTS["int8"]: int8_product()}
    for check in field.checks:
        if check.refused is None:
            calls[check.contender.name] = lambda run=check.contender.run: run(images)  # type: ignore[misc]
    return calls


def _upsamplings(reference: ReferenceAnswers, batch: int) -> dict[str, Callable[[], object]]:
    """Return both ways to make a batch's heatmaps, by `UPSAMPLING`."""
    maps, upsampling, size = reference.outputs.maps[:batch], reference.upsampling, reference.image_size
    return {
        UPSAMPLING[0]: lambda: upsample(maps, upsampling, size),
        UPSAMPLING[1]: lambda: transposed(maps, upsampling, size),
    }


def _result(
    options: CompareOptions, field: _Field, times: Mapping[str, list[float]], overhead: Percentile | None
) -> CompareResult:
    products = {precision: min(times[name]) for precision, name in PRODUCTS.items()}
    reference, checks = field.reference, field.checks
    work = options.batch * field.contest.multiply_adds
    places = [_place(check, times, work, products) for check in checks if check.refused is None]
    maps = reference.outputs.maps[: options.batch]
    return CompareResult(
        images=len(reference.inputs["mip"]),
        checks=checks,
        places=tuple(places),
        absent=field.contest.absent,
        multiply_adds=field.contest.multiply_adds,
        int8_forms=field.contest.int8_forms,
        products_ms=products,
        threads=torch.get_num_threads(),
        heatmap_ms={name: float(np.median(times[name])) for name in UPSAMPLING},
        heatmap_ratio=ratio_of_medians(times[UPSAMPLING[1]], times[UPSAMPLING[0]]),
        heatmap_error=check_upsampling(maps, reference.upsampling, reference.image_size),
        client_overhead_ms=overhead,
    )


def _place(check: Checked, times: Mapping[str, list[float]], work: int, products: Mapping[str, float]) -> Place:
    name, precision = check.contender.name, check.contender.precision
    summary = summary_of(np.array(times[name]))
    share = share_of_peak(work, summary.p50.value, products[precision])
    ours = times.get(OURS_BY_PRECISION[precision])
    in_precision = None if ours is None else ratio_of_medians(times[name], ours)
    return Place(name, precision, summary, ratio_of_medians(times[name], times[OURS]), in_precision, share)
